//! Tests of a user's profile, preferences, customer type and addresses.

use super::*;
use crate::user::command::{Change, NewAddress, PreferencesChange, ProfileChange};
use crate::user::event::{
    UserAddressAdded, UserAddressChanged, UserAddressRemoved, UserClassified,
    UserPreferencesChanged, UserProfileChanged, UserReactivated,
};
use crate::user::{Address, Customer, MAX_ADDRESSES, Preferences, Profile};
use crate::value::{
    AddressLine, CustomerType, Destination, Language, Locale, Phone, PostalAddress, PostalCode,
    Region,
};

pub(super) const HOME: Uuid = Uuid::from_u128(2);

pub(super) fn new_address(city: &str) -> NewAddress {
    let line = |text| AddressLine::parse(text).unwrap();
    NewAddress {
        label: Some(line("at home")),
        postal: PostalAddress {
            recipient: name("Ada"),
            street: line("Ring 1"),
            city: line(city),
            postal_code: Some(PostalCode::parse("1010").unwrap()),
        },
        destination: Destination {
            country: "AT".parse().unwrap(),
            region: Some(Region::parse("9").unwrap()),
        },
    }
}

pub(super) fn added(address_id: Uuid, city: &str) -> UserEvent {
    let address = Address::of(ADA, address_id, new_address(city));
    UserEvent::AddressAdded(UserAddressAdded { user_id: ADA, address })
}

fn add(address_id: Uuid) -> UserCommand {
    UserCommand::AddAddress { address_id, address: new_address("Wien") }
}

pub(super) fn profile(display_name: Option<&str>) -> Profile {
    Profile {
        display_name: display_name.map(|text| Personal::new(ADA, name(text))),
        locale: Some(Personal::new(ADA, Locale::parse("de-AT").unwrap())),
        phone: Some(Personal::new(ADA, Phone::parse("+4312345678").unwrap())),
    }
}

pub(super) fn profile_changed(profile: Profile) -> UserEvent {
    UserEvent::ProfileChanged(UserProfileChanged { user_id: ADA, profile })
}

fn change_of_profile() -> ProfileChange {
    ProfileChange {
        display_name: Change::Set(name("Countess")),
        locale: Change::Set(Locale::parse("de-AT").unwrap()),
        phone: Change::Set(Phone::parse("+4312345678").unwrap()),
    }
}

pub(super) fn preferences(newsletter: bool) -> Preferences {
    let language = Some(Language::parse("de").unwrap());
    Preferences { language, currency: Some("EUR".parse().unwrap()), newsletter }
}

pub(super) fn preferences_changed(preferences: Preferences) -> UserEvent {
    UserEvent::PreferencesChanged(UserPreferencesChanged { user_id: ADA, preferences })
}

pub(super) fn classified(customer_type: CustomerType) -> UserEvent {
    UserEvent::Classified(UserClassified { user_id: ADA, customer_type })
}

fn removed(address_id: Uuid) -> UserEvent {
    UserEvent::AddressRemoved(UserAddressRemoved { user_id: ADA, address_id })
}

#[test]
fn a_profile_changes_field_by_field_and_each_event_has_the_whole() {
    given::<User>([registered()])
        .when(UserCommand::ChangeProfile(change_of_profile()))
        .then([profile_changed(profile(Some("Countess")))]);
    let clear = ProfileChange { display_name: Change::Clear, ..ProfileChange::default() };
    given::<User>([registered(), profile_changed(profile(Some("Countess")))])
        .when(UserCommand::ChangeProfile(clear.clone()))
        .then([profile_changed(profile(None))]);
    for same in [ProfileChange::default(), clear] {
        given::<User>([registered(), profile_changed(profile(None))])
            .when(UserCommand::ChangeProfile(same))
            .then([]);
    }
    given::<User>([registered(), profile_changed(profile(Some("Countess")))])
        .when(UserCommand::ChangeProfile(change_of_profile()))
        .then([]);
    let empty = ProfileChange { phone: Change::Clear, ..ProfileChange::default() };
    let without = Profile { phone: None, ..profile(None) };
    given::<User>([registered(), profile_changed(profile(None))])
        .when(UserCommand::ChangeProfile(empty))
        .then([profile_changed(without.clone())]);
    let empty = ProfileChange { locale: Change::Clear, ..ProfileChange::default() };
    given::<User>([registered(), profile_changed(without)])
        .when(UserCommand::ChangeProfile(empty))
        .then([profile_changed(Profile::default())]);
}

#[test]
fn preferences_change_field_by_field_and_nobody_gets_a_newsletter_unasked() {
    let change = PreferencesChange {
        language: Change::Set(Language::parse("de").unwrap()),
        currency: Change::Set("EUR".parse().unwrap()),
        newsletter: None,
    };
    given::<User>([registered()])
        .when(UserCommand::ChangePreferences(change.clone()))
        .then([preferences_changed(preferences(false))]);
    let wanted = PreferencesChange { newsletter: Some(true), ..PreferencesChange::default() };
    given::<User>([registered(), preferences_changed(preferences(false))])
        .when(UserCommand::ChangePreferences(wanted))
        .then([preferences_changed(preferences(true))]);
    given::<User>([registered(), preferences_changed(preferences(true))])
        .when(UserCommand::ChangePreferences(change))
        .then([]);
}

#[test]
fn a_customer_is_a_consumer_until_classified() {
    let user = User::default().evolve(registered());
    assert_eq!(user.customer().map(Customer::customer_type), Ok(CustomerType::Consumer));
    let reseller = CustomerType::Reseller;
    let classify = UserCommand::Classify { customer_type: reseller };
    given::<User>([registered()]).when(classify.clone()).then([classified(reseller)]);
    given::<User>([registered(), classified(reseller)]).when(classify).then([]);
    let user = user.evolve(classified(reseller));
    assert_eq!(user.customer().map(Customer::customer_type), Ok(reseller));
}

#[test]
fn addresses_are_added_changed_and_removed_by_their_ids() {
    given::<User>([registered()]).when(add(HOME)).then([added(HOME, "Wien")]);
    given::<User>([registered(), added(HOME, "Wien")])
        .when(add(HOME))
        .then_error(&UserError::AddressExists);
    let change = |city| UserCommand::ChangeAddress { address_id: HOME, address: new_address(city) };
    let address = Address::of(ADA, HOME, new_address("Graz"));
    given::<User>([registered(), added(HOME, "Wien")]).when(change("Graz")).then([
        UserEvent::AddressChanged(UserAddressChanged { user_id: ADA, address: address.clone() }),
    ]);
    given::<User>([registered(), added(HOME, "Wien")]).when(change("Wien")).then([]);
    given::<User>([registered()]).when(change("Graz")).then_error(&UserError::UnknownAddress);
    let remove = UserCommand::RemoveAddress { address_id: HOME };
    let changed = UserEvent::AddressChanged(UserAddressChanged { user_id: ADA, address });
    given::<User>([registered(), added(HOME, "Wien"), changed.clone()])
        .when(remove.clone())
        .then([removed(HOME)]);
    given::<User>([registered(), added(HOME, "Wien"), removed(HOME)])
        .when(remove)
        .then_error(&UserError::UnknownAddress);
    let user = [registered(), added(HOME, "Wien"), changed].into_iter();
    let user = user.fold(User::default(), User::evolve);
    let city = user.address(HOME).unwrap().postal.value().unwrap().city.as_str();
    assert_eq!(city, "Graz");
}

#[test]
fn an_address_without_a_label_is_another_one() {
    let address = NewAddress { label: None, ..new_address("Wien") };
    let changed = Address::of(ADA, HOME, address.clone());
    given::<User>([registered(), added(HOME, "Wien")])
        .when(UserCommand::ChangeAddress { address_id: HOME, address })
        .then([UserEvent::AddressChanged(UserAddressChanged { user_id: ADA, address: changed })]);
}

#[test]
fn a_user_has_a_few_addresses() {
    let most = (1..=MAX_ADDRESSES as u128).map(|id| added(Uuid::from_u128(id), "Wien"));
    let history: Vec<_> = [registered()].into_iter().chain(most).collect();
    let more = Uuid::from_u128(99);
    given::<User>(history.clone()).when(add(more)).then_error(&UserError::TooManyAddresses);
    given::<User>(history[..MAX_ADDRESSES].to_vec()).when(add(more)).then([added(more, "Wien")]);
}

#[test]
fn a_deactivated_user_is_reactivated_and_keeps_what_was() {
    let reactivated = || UserEvent::Reactivated(UserReactivated { user_id: ADA });
    given::<User>([registered()]).when(UserCommand::Reactivate).then_error(&UserError::Active);
    given::<User>([]).when(UserCommand::Reactivate).then_error(&UserError::Unknown);
    given::<User>([registered(), deactivated()])
        .when(UserCommand::Reactivate)
        .then([reactivated()]);
    given::<User>([registered(), deactivated(), reactivated()])
        .when(UserCommand::Deactivate)
        .then([deactivated()]);
    let user = [registered(), added(HOME, "Wien"), deactivated(), reactivated()].into_iter();
    let user = user.fold(User::default(), User::evolve);
    assert!(user.customer().is_ok() && user.address(HOME).is_ok());
}

#[test]
fn a_user_whose_address_is_erased_is_not_reactivated() {
    let nothing = format!(r#"{{"$subject":"{ADA}","$personal":null}}"#);
    let erased = format!(r#"{{"user_id":"{ADA}","email":{nothing},"name":{nothing}}}"#);
    let erased = UserEvent::from_parts("user.registered", 1, &erased).unwrap().unwrap();
    given::<User>([erased, deactivated()])
        .when(UserCommand::Reactivate)
        .then_error(&UserError::Erased);
}

#[test]
fn a_deactivated_user_changes_nothing_of_all_this() {
    for command in [
        UserCommand::ChangeProfile(change_of_profile()),
        UserCommand::ChangePreferences(PreferencesChange::default()),
        UserCommand::Classify { customer_type: CustomerType::Business },
        add(HOME),
        UserCommand::ChangeAddress { address_id: HOME, address: new_address("Graz") },
        UserCommand::RemoveAddress { address_id: HOME },
    ] {
        given::<User>([registered(), added(HOME, "Wien"), deactivated()])
            .when(command.clone())
            .then_error(&UserError::Deactivated);
        given::<User>([]).when(command).then_error(&UserError::Unknown);
    }
}
