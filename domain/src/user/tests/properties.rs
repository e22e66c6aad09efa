//! What holds after any sequence of commands to a user.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::person::new_address;
use super::*;
use crate::user::MAX_ADDRESSES;
use crate::user::command::{Change, PreferencesChange, ProfileChange};
use crate::value::CustomerType;

fn change<T: Clone + std::fmt::Debug + 'static>(value: T) -> impl Strategy<Value = Change<T>> {
    prop_oneof![Just(Change::Keep), Just(Change::Clear), Just(Change::Set(value))]
}

fn command() -> impl Strategy<Value = UserCommand> {
    let address_id = || (0..14_u128).prop_map(Uuid::from_u128);
    let address = || prop_oneof![Just("Wien"), Just("Graz")].prop_map(new_address);
    prop_oneof![
        1 => Just(register()),
        1 => prop_oneof![Just("Ada"), Just("Eve")]
            .prop_map(|text| UserCommand::Rename { name: name(text) }),
        1 => change(name("Countess")).prop_map(|display_name| {
            UserCommand::ChangeProfile(ProfileChange { display_name, ..ProfileChange::default() })
        }),
        1 => any::<Option<bool>>().prop_map(|newsletter| {
            let change = PreferencesChange { newsletter, ..PreferencesChange::default() };
            UserCommand::ChangePreferences(change)
        }),
        1 => prop_oneof![Just(CustomerType::Consumer), Just(CustomerType::Business)]
            .prop_map(|customer_type| UserCommand::Classify { customer_type }),
        8 => (address_id(), address())
            .prop_map(|(address_id, address)| UserCommand::AddAddress { address_id, address }),
        2 => (address_id(), address())
            .prop_map(|(address_id, address)| UserCommand::ChangeAddress { address_id, address }),
        2 => address_id().prop_map(|address_id| UserCommand::RemoveAddress { address_id }),
        1 => Just(UserCommand::Deactivate),
        2 => Just(UserCommand::Reactivate),
    ]
}

/// Whether a second time makes no difference, as opposed to being refused.
const fn is_repeatable(command: &UserCommand) -> bool {
    matches!(
        command,
        UserCommand::Rename { .. }
            | UserCommand::ChangeProfile(_)
            | UserCommand::ChangePreferences(_)
            | UserCommand::Classify { .. }
            | UserCommand::ChangeAddress { .. }
    )
}

proptest! {
    #[test]
    fn after_any_commands_a_user_is_in_order(
        commands in prop::collection::vec(command(), 0..60),
    ) {
        let mut user = User::default();
        for command in commands {
            let was_active = user.customer().is_ok();
            let Ok(events) = user.decide(command.clone()) else { continue };
            let may_be_inactive =
                matches!(command, UserCommand::Register { .. } | UserCommand::Reactivate);
            prop_assert!(was_active != may_be_inactive, "{command:?}");
            user = events.into_iter().fold(user, User::evolve);
            if is_repeatable(&command) {
                prop_assert!(user.decide(command).unwrap().is_empty());
            }
            let state = user.registered.as_ref().unwrap();
            let ids: BTreeSet<Uuid> =
                state.addresses.iter().map(|address| address.address_id).collect();
            prop_assert!(ids.len() == state.addresses.len() && ids.len() <= MAX_ADDRESSES);
            let codec = User::SNAPSHOT.unwrap();
            let written = (codec.write)(&user).unwrap();
            prop_assert_eq!((codec.write)(&(codec.read)(&written).unwrap()).unwrap(), written);
        }
    }
}
