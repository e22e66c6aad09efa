//! The rows of `users`.

use domain::Personal;
use domain::user::event::{
    UserAddressAdded, UserAddressChanged, UserAddressRemoved, UserClassified, UserDeactivated,
    UserEmailChanged, UserEvent, UserPreferencesChanged, UserProfileChanged, UserReactivated,
    UserRegistered, UserRenamed,
};
use domain::user::{Address, Preferences, Profile};
use domain::value::{
    AddressLine, CustomerType, Destination, Email, Language, Locale, PersonName, Phone,
    PostalAddress, PostalCode,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Story, USER, confirmed, story, with};
use crate::support::{Happening, happening};

const ADDRESS: Uuid = Uuid::from_u128(6);

#[allow(clippy::needless_pass_by_value, reason = "reads better at every call")]
fn user(event: UserEvent) -> Happening {
    happening("user", USER, &event)
}

pub(super) fn mine<T>(value: T) -> Personal<T> {
    Personal::new(USER, value)
}

pub(super) fn name(text: &str) -> Personal<PersonName> {
    mine(PersonName::parse(text).unwrap())
}

pub(super) fn registered() -> Happening {
    let email = mine(Email::parse("ada@example.com").unwrap());
    user(UserEvent::Registered(UserRegistered { user_id: USER, email, name: name("Ada") }))
}

pub(super) fn profile_changed() -> Happening {
    let profile = Profile {
        display_name: Some(name("Countess")),
        locale: Some(mine(Locale::parse("en-GB").unwrap())),
        phone: Some(mine(Phone::parse("+442079460000").unwrap())),
    };
    user(UserEvent::ProfileChanged(UserProfileChanged { user_id: USER, profile }))
}

fn preferences_changed() -> Happening {
    let preferences = Preferences {
        language: Some(Language::parse("en").unwrap()),
        currency: Some("GBP".parse().unwrap()),
        newsletter: true,
    };
    user(UserEvent::PreferencesChanged(UserPreferencesChanged { user_id: USER, preferences }))
}

fn address(city: &str) -> Address {
    let line = |text: &str| AddressLine::parse(text).unwrap();
    Address {
        address_id: ADDRESS,
        label: Some(mine(line("at home"))),
        postal: mine(PostalAddress {
            recipient: PersonName::parse("Ada").unwrap(),
            street: line("Ring 1"),
            city: line(city),
            postal_code: Some(PostalCode::parse("1010").unwrap()),
        }),
        destination: Destination { country: "AT".parse().unwrap(), region: None },
    }
}

fn added() -> Happening {
    let address = address("Wien");
    user(UserEvent::AddressAdded(UserAddressAdded { user_id: USER, address }))
}

/// The column with the address.
fn at_home(city: &str) -> Value {
    json!([{"id": ADDRESS, "label": "at home", "recipient": "Ada", "street": "Ring 1",
        "city": city, "postal_code": "1010", "country": "AT", "region": null}])
}

/// The column after the erasure.
fn somewhere() -> Value {
    json!([{"id": ADDRESS, "label": null, "recipient": null, "street": null, "city": null,
        "postal_code": null, "country": "AT", "region": null}])
}

/// The row after the registration.
pub(super) fn first() -> Value {
    json!({
        "id": USER, "email": "ada@example.com", "name": "Ada", "status": "active",
        "customer_type": "consumer", "display_name": null, "locale": null, "phone": null,
        "language": null, "currency": null, "newsletter": false, "addresses": [],
        "order_count": 0, "total_spent": {}, "total_paid": {}, "total_refunded": {},
        "total_paid_back": {}, "returns": {}, "last_order_at": null,
        "created_at": "@1", "updated_at": "@1", "version": 1, "position": 1,
    })
}

/// The registration, one more event, and what it changes.
fn after(event: Happening, changed: Value) -> Story {
    let row = with(&with(&first(), json!({"updated_at": "@2", "position": 2})), changed);
    story("users", vec![registered(), event], row)
}

/// The registration, two more events, and what they change.
fn after_both(events: [Happening; 2], changed: Value) -> Story {
    let last = json!({"updated_at": "@3", "version": 3, "position": 3});
    let row = with(&with(&first(), last), changed);
    story("users", [registered()].into_iter().chain(events).collect(), row)
}

pub(super) fn stories() -> Vec<Story> {
    let email = mine(Email::parse("grace@example.com").unwrap());
    let email_changed = UserEmailChanged { user_id: USER, email };
    let renamed = UserRenamed { user_id: USER, name: name("Grace") };
    let classified = UserClassified { user_id: USER, customer_type: CustomerType::Reseller };
    let moved = UserAddressChanged { user_id: USER, address: address("Graz") };
    let removed = UserAddressRemoved { user_id: USER, address_id: ADDRESS };
    let left = || user(UserEvent::Deactivated(UserDeactivated { user_id: USER }));
    let back = UserReactivated { user_id: USER };
    let spent = json!({"order_count": 1, "total_spent": {"USD": 350},
        "last_order_at": "1997-05-05T00:00:00+00:00"});
    let profile = json!({"display_name": "Countess", "locale": "en-GB",
        "phone": "+442079460000", "version": 2});
    let wished = json!({"language": "en", "currency": "GBP", "newsletter": true, "version": 2});
    let erased = json!({"email": null, "name": null, "addresses": somewhere(), "updated_at": "@4",
        "version": 3, "position": 4});
    let erased = with(&first(), erased);
    vec![
        story("users", vec![registered()], first()),
        after(user(UserEvent::Renamed(renamed)), json!({"name": "Grace", "version": 2})),
        after(
            user(UserEvent::EmailChanged(email_changed)),
            json!({"email": "grace@example.com", "version": 2}),
        ),
        after(profile_changed(), profile),
        after(preferences_changed(), wished),
        after(
            user(UserEvent::Classified(classified)),
            json!({"customer_type": "reseller", "version": 2}),
        ),
        after(added(), json!({"addresses": at_home("Wien"), "version": 2})),
        after_both(
            [added(), user(UserEvent::AddressChanged(moved))],
            json!({"addresses": at_home("Graz")}),
        ),
        after_both([added(), user(UserEvent::AddressRemoved(removed))], json!({})),
        after(left(), json!({"status": "deactivated", "version": 2})),
        after_both([left(), user(UserEvent::Reactivated(back))], json!({"status": "active"})),
        after(confirmed(350, 5, "1997-05-05T00:00:00Z"), spent),
        Story {
            erased: true,
            ..story("users", vec![registered(), profile_changed(), added()], erased)
        },
    ]
}
