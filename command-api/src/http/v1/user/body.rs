//! The bodies of `/api/v1/users`, and the input that they are.

use domain::user::Change;
use serde::Deserialize;
use service_kit::input::Id;
use service_kit::input::schema::EmailAddress;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::application::use_case::{
    ChangeUserInput, ClassifyUserInput, PreferencesInput, ProfileInput, RegisterUserInput,
};
use crate::http::object::{Object, object};
use crate::http::{present, unsettable};

/// A user to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterUserBody {
    /// The new id of the user, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(required = false, nullable = false)]
    id: Option<Id>,
    /// The e-mail address. Each address belongs to one user. Upper and lower case are the same.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    name: String,
}

/// What a user says about themselves, as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplaceUserBody {
    /// The e-mail address.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(min_length = 1, max_length = 200, example = "Ada King")]
    name: String,
    /// The profile. Without it, the profile is empty afterwards.
    #[serde(default, deserialize_with = "object")]
    profile: ProfileBody,
    /// The preferences. Without them, there are none afterwards.
    #[serde(default, deserialize_with = "object")]
    preferences: PreferencesBody,
}

/// The changes to a user. It names at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeUserBody {
    /// The new e-mail address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = EmailAddress, required = false)]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 200, nullable = false, example = "Ada King")]
    name: Option<String>,
    /// The changes to the profile. `null` empties it.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<ProfileBody>, required = false)]
    profile: Change<Object<ProfileBody>>,
    /// The changes to the preferences. `null` unsets all of them.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<PreferencesBody>, required = false)]
    preferences: Change<Object<PreferencesBody>>,
}

/// A profile. `null` and an absent field are an empty one in a whole profile.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileBody {
    /// The name that others see.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, min_length = 1, max_length = 200,
        example = "Countess")]
    display_name: Change<String>,
    /// The language, as it is written where the person lives: a language, and optionally a script
    /// and a region.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "de-AT",
        pattern = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$")]
    locale: Change<String>,
    /// The telephone number in its international form.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "+4312345678",
        pattern = r"^\+[1-9][0-9]{6,14}$")]
    phone: Change<String>,
}

/// Preferences. `null` and an absent field are an unset one in whole preferences.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreferencesBody {
    /// The language of mails and pages, a code of ISO 639.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "de",
        pattern = r"^[a-z]{2,3}$")]
    language: Change<String>,
    /// The currency to show prices in. It must be on the current ISO 4217 list.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "EUR",
        pattern = r"^[A-Z]{3}$")]
    currency: Change<String>,
    /// Whether the user wants the newsletter.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<bool>, required = false)]
    newsletter: Change<bool>,
}

/// The type of a customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerTypeBody {
    /// The type: `consumer`, `business` or `reseller`. Every user is a consumer at first.
    #[schema(pattern = "^(consumer|business|reseller)$", example = "business")]
    customer_type: String,
}

impl RegisterUserBody {
    pub(super) fn input(self) -> RegisterUserInput {
        let Self { id, email, name } = self;
        RegisterUserInput { id: id.map(Id::get), email, name }
    }
}

impl ReplaceUserBody {
    pub(super) fn input(self, user_id: Uuid) -> ChangeUserInput {
        let Self { email, name, profile, preferences } = self;
        ChangeUserInput {
            user_id,
            email: Some(email),
            name: Some(name),
            profile: Some(profile.whole()),
            preferences: Some(preferences.whole()),
        }
    }
}

impl ChangeUserBody {
    pub(super) fn input(self, user_id: Uuid) -> ChangeUserInput {
        let Self { email, name, profile, preferences } = self;
        let profile = match profile {
            Change::Keep => None,
            Change::Clear => Some(ProfileBody::default().whole()),
            Change::Set(Object(profile)) => Some(profile.change()),
        };
        let preferences = match preferences {
            Change::Keep => None,
            Change::Clear => Some(PreferencesBody::default().whole()),
            Change::Set(Object(preferences)) => Some(preferences.change()),
        };
        ChangeUserInput { user_id, email, name, profile, preferences }
    }
}

impl CustomerTypeBody {
    pub(super) fn input(self, user_id: Uuid) -> ClassifyUserInput {
        ClassifyUserInput { user_id, customer_type: self.customer_type }
    }
}

impl ProfileBody {
    fn change(self) -> ProfileInput {
        let Self { display_name, locale, phone } = self;
        ProfileInput { display_name, locale, phone }
    }

    /// The change that leads to this profile, whatever was there before.
    fn whole(self) -> ProfileInput {
        let Self { display_name, locale, phone } = self;
        ProfileInput {
            display_name: Change::to(display_name.of(None)),
            locale: Change::to(locale.of(None)),
            phone: Change::to(phone.of(None)),
        }
    }
}

impl PreferencesBody {
    fn change(self) -> PreferencesInput {
        let Self { language, currency, newsletter } = self;
        let newsletter = match newsletter {
            Change::Keep => None,
            Change::Clear => Some(false),
            Change::Set(wanted) => Some(wanted),
        };
        PreferencesInput { language, currency, newsletter }
    }

    /// The change that leads to these preferences, whatever was there before.
    fn whole(self) -> PreferencesInput {
        let Self { language, currency, newsletter } = self;
        PreferencesInput {
            language: Change::to(language.of(None)),
            currency: Change::to(currency.of(None)),
            newsletter: Some(newsletter.of(None).unwrap_or(false)),
        }
    }
}
