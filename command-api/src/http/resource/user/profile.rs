//! The profile and the preferences of a user in a body. A body is a merge patch, or a whole that
//! replaces the old one.

use domain::user::Change;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::application::use_case::{PreferencesInput, ProfileInput};
use crate::http::text::DisplayName;
use crate::http::unsettable;

/// A profile. In a whole profile, a field that is absent or `null` is empty.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ProfileBody {
    /// The name that others see.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<DisplayName>, required = false)]
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
pub(in crate::http) struct PreferencesBody {
    /// The language of mails and pages, a code of ISO 639.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "de",
        pattern = r"^[a-z]{2,3}$")]
    language: Change<String>,
    /// The currency to show prices in. It is known (`currency/unknown`), and on the current list of
    /// ISO 4217 (`currency/withdrawn`).
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<String>, required = false, example = "EUR",
        pattern = r"^[A-Z]{3}$")]
    currency: Change<String>,
    /// Whether the user wants the newsletter.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<bool>, required = false)]
    newsletter: Change<bool>,
}

impl ProfileBody {
    /// The change by a merge patch.
    pub(in crate::http) fn change(self) -> ProfileInput {
        let Self { display_name, locale, phone } = self;
        ProfileInput { display_name, locale, phone }
    }

    /// The change that leads to this profile, whatever was there before.
    pub(in crate::http) fn whole(self) -> ProfileInput {
        let Self { display_name, locale, phone } = self;
        ProfileInput {
            display_name: Change::to(display_name.of(None)),
            locale: Change::to(locale.of(None)),
            phone: Change::to(phone.of(None)),
        }
    }
}

impl PreferencesBody {
    /// The change by a merge patch.
    pub(in crate::http) fn change(self) -> PreferencesInput {
        let Self { language, currency, newsletter } = self;
        let newsletter = match newsletter {
            Change::Keep => None,
            Change::Clear => Some(false),
            Change::Set(wanted) => Some(wanted),
        };
        PreferencesInput { language, currency, newsletter }
    }

    /// The change that leads to these preferences, whatever was there before.
    pub(in crate::http) fn whole(self) -> PreferencesInput {
        let Self { language, currency, newsletter } = self;
        PreferencesInput {
            language: Change::to(language.of(None)),
            currency: Change::to(currency.of(None)),
            newsletter: Some(newsletter.of(None).unwrap_or(false)),
        }
    }
}
