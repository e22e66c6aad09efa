//! Tests of how a user reacts to commands.

#![allow(clippy::unwrap_used, reason = "tests")]

use uuid::Uuid;

use super::event::{UserDeactivated, UserEmailChanged, UserRegistered, UserRenamed};
use super::{User, UserCommand, UserError, UserEvent};
use crate::aggregate::scenario::given;
use crate::aggregate::{Aggregate, DomainEvent, UnreadableEvent};
use crate::golden::GOLDEN;
use crate::personal::Personal;
use crate::value::{CustomerType, Email, PersonName};

mod person;
mod properties;

const ADA: Uuid = Uuid::from_u128(1);

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn name(text: &str) -> PersonName {
    PersonName::parse(text).unwrap()
}

fn registered() -> UserEvent {
    UserEvent::Registered(UserRegistered {
        user_id: ADA,
        email: Personal::new(ADA, email("ada@example.com")),
        name: Personal::new(ADA, name("Ada")),
    })
}

fn deactivated() -> UserEvent {
    UserEvent::Deactivated(UserDeactivated { user_id: ADA })
}

fn register() -> UserCommand {
    UserCommand::Register { user_id: ADA, email: email("ada@example.com"), name: name("Ada") }
}

#[test]
fn the_state_that_is_kept_is_what_it_was_in_its_shape() {
    let history = [
        registered(),
        UserEvent::Renamed(UserRenamed {
            user_id: ADA,
            name: Personal::new(ADA, name("Ada Lovelace")),
        }),
        UserEvent::EmailChanged(UserEmailChanged {
            user_id: ADA,
            email: Personal::new(ADA, email("ada@example.org")),
        }),
        person::profile_changed(person::profile(Some("Countess"))),
        person::preferences_changed(person::preferences(true)),
        person::classified(CustomerType::Business),
        person::added(person::HOME, "Wien"),
    ];
    GOLDEN.check_kept::<User>(&history.into_iter().fold(User::default(), User::evolve));
}

#[test]
fn a_stranger_can_register() {
    given::<User>([]).when(register()).then([registered()]);
}

#[test]
fn nobody_registers_twice() {
    given::<User>([registered()]).when(register()).then_error(&UserError::AlreadyRegistered);
    given::<User>([registered(), deactivated()])
        .when(register())
        .then_error(&UserError::AlreadyRegistered);
}

#[test]
fn a_user_can_take_another_name_and_another_address() {
    given::<User>([registered()]).when(UserCommand::Rename { name: name("Ada Lovelace") }).then([
        UserEvent::Renamed(UserRenamed {
            user_id: ADA,
            name: Personal::new(ADA, name("Ada Lovelace")),
        }),
    ]);
    given::<User>([registered()])
        .when(UserCommand::ChangeEmail { email: email("ada@lovelace.org") })
        .then([UserEvent::EmailChanged(UserEmailChanged {
            user_id: ADA,
            email: Personal::new(ADA, email("ada@lovelace.org")),
        })]);
}

#[test]
fn the_same_name_or_address_again_changes_nothing() {
    given::<User>([registered()]).when(UserCommand::Rename { name: name("Ada") }).then([]);
    given::<User>([registered()])
        .when(UserCommand::ChangeEmail { email: email("ada@example.com") })
        .then([]);
}

#[test]
fn an_address_in_other_letters_is_kept_as_typed() {
    given::<User>([registered()])
        .when(UserCommand::ChangeEmail { email: email("Ada@example.com") })
        .then([UserEvent::EmailChanged(UserEmailChanged {
            user_id: ADA,
            email: Personal::new(ADA, email("Ada@example.com")),
        })]);
}

#[test]
fn a_user_can_be_deactivated_once() {
    given::<User>([registered()]).when(UserCommand::Deactivate).then([deactivated()]);
    given::<User>([registered(), deactivated()])
        .when(UserCommand::Deactivate)
        .then_error(&UserError::Deactivated);
}

#[test]
fn a_deactivated_user_changes_no_more() {
    let history = || [registered(), deactivated()];
    given::<User>(history())
        .when(UserCommand::Rename { name: name("B") })
        .then_error(&UserError::Deactivated);
    given::<User>(history())
        .when(UserCommand::ChangeEmail { email: email("b@x.y") })
        .then_error(&UserError::Deactivated);
}

#[test]
fn who_never_registered_is_unknown() {
    given::<User>([]).when(UserCommand::Rename { name: name("B") }).then_error(&UserError::Unknown);
    given::<User>([])
        .when(UserCommand::ChangeEmail { email: email("b@x.y") })
        .then_error(&UserError::Unknown);
    given::<User>([]).when(UserCommand::Deactivate).then_error(&UserError::Unknown);
}

#[test]
fn only_an_active_user_is_a_customer() {
    let user = User::default();
    assert_eq!(user.customer(), Err(UserError::Unknown));
    let user = user.evolve(registered());
    assert_eq!(user.customer().map(super::Customer::user_id), Ok(ADA));
    assert_eq!(user.evolve(deactivated()).customer(), Err(UserError::Deactivated));
}

#[test]
fn an_erased_user_is_still_readable() {
    let nothing = format!(r#"{{"$subject":"{ADA}","$personal":null}}"#);
    let erased = format!(r#"{{"user_id":"{ADA}","email":{nothing},"name":{nothing}}}"#);
    let event = UserEvent::from_parts("user.registered", 1, &erased).unwrap().unwrap();
    let user = User::default().evolve(event);
    assert!(user.email().is_none());
    assert!(user.customer().is_ok());
}

#[test]
fn an_event_that_this_program_cannot_read_is_an_error_and_one_of_another_aggregate_is_none() {
    assert!(matches!(
        UserEvent::from_parts("user.registered", 99, "{}"),
        Some(Err(UnreadableEvent::UnknownVersion { .. }))
    ));
    assert!(matches!(
        UserEvent::from_parts("user.registered", 1, "{}"),
        Some(Err(UnreadableEvent::Shape { .. }))
    ));
    assert!(UserEvent::from_parts("order.placed", 1, "{}").is_none());
    let misshapen =
        UserEvent::from_parts("user.deactivated", 1, r#"{"user_id": "canary@example.com"}"#)
            .unwrap()
            .unwrap_err();
    assert!(!format!("{misshapen} {misshapen:?}").contains("canary"), "a value may be personal");
}
