//! What users say about themselves: the profile, which is personal, and preferences, which are not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::command::{Change, PreferencesChange, ProfileChange};
use crate::personal::Personal;
use crate::value::{Currency, Language, Locale, PersonName, Phone};

/// The profile of a user. The default is empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The name that others see.
    pub display_name: Option<Personal<PersonName>>,
    /// The language of the person, as it is written where they live.
    pub locale: Option<Personal<Locale>>,
    /// The telephone number.
    pub phone: Option<Personal<Phone>>,
}

/// What the shop should do for a user. It says little about the person, so it is no personal data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Preferences {
    /// The language of mails and pages.
    pub language: Option<Language>,
    /// The currency to show prices in.
    pub currency: Option<Currency>,
    /// Whether the user wants the newsletter. Nobody does at first.
    pub newsletter: bool,
}

impl Profile {
    /// The profile of `user_id` after a change, or `None` if the change makes no difference.
    pub(super) fn after(&self, user_id: Uuid, change: ProfileChange) -> Option<Self> {
        let (display_name, renamed) =
            changed(user_id, self.display_name.as_ref(), change.display_name);
        let (locale, moved) = changed(user_id, self.locale.as_ref(), change.locale);
        let (phone, rewired) = changed(user_id, self.phone.as_ref(), change.phone);
        (renamed || moved || rewired).then_some(Self { display_name, locale, phone })
    }

    /// The length of all texts, in bytes.
    pub(super) fn text_len(&self) -> usize {
        let len = |text: Option<&str>| text.map_or(0, str::len);
        let name = self.display_name.as_ref().and_then(Personal::value);
        let locale = self.locale.as_ref().and_then(Personal::value);
        let phone = self.phone.as_ref().and_then(Personal::value);
        len(name.map(PersonName::as_str))
            + len(locale.map(Locale::as_str))
            + len(phone.map(Phone::as_str))
    }
}

/// A personal field after a change, and whether it is another one then.
fn changed<T: Clone + PartialEq>(
    user_id: Uuid,
    old: Option<&Personal<T>>,
    change: Change<T>,
) -> (Option<Personal<T>>, bool) {
    match change {
        Change::Clear => (None, old.is_some()),
        Change::Set(new) if old.and_then(Personal::value) != Some(&new) => {
            (Some(Personal::new(user_id, new)), true)
        }
        Change::Keep | Change::Set(_) => (old.cloned(), false),
    }
}

impl Preferences {
    /// The preferences after a change, or `None` if the change makes no difference.
    pub(super) fn after(&self, change: PreferencesChange) -> Option<Self> {
        let new = Self {
            language: change.language.of(self.language.clone()),
            currency: change.currency.of(self.currency),
            newsletter: change.newsletter.unwrap_or(self.newsletter),
        };
        (new != *self).then_some(new)
    }
}
