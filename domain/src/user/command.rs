//! The commands of the user aggregate.

use uuid::Uuid;

use crate::value::{
    AddressLine, Currency, CustomerType, Destination, Email, Language, Locale, PersonName, Phone,
    PostalAddress,
};

/// A command to a user.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Registers the user.
    Register {
        /// The user's id.
        user_id: Uuid,
        /// The e-mail address.
        email: Email,
        /// The person's name.
        name: PersonName,
    },
    /// Renames the user. The same name changes nothing.
    Rename {
        /// The new name.
        name: PersonName,
    },
    /// Changes the e-mail address. The same address changes nothing.
    ChangeEmail {
        /// The new address.
        email: Email,
    },
    /// Changes the profile. The same values change nothing.
    ChangeProfile(ProfileChange),
    /// Changes the preferences. The same values change nothing.
    ChangePreferences(PreferencesChange),
    /// Says what type of customer the user is. The same type changes nothing.
    Classify {
        /// The new type.
        customer_type: CustomerType,
    },
    /// Adds an address.
    AddAddress {
        /// The new id of the address.
        address_id: Uuid,
        /// The address.
        address: NewAddress,
    },
    /// Changes an address as a whole. The same address changes nothing.
    ChangeAddress {
        /// The id of the address.
        address_id: Uuid,
        /// The new address.
        address: NewAddress,
    },
    /// Removes an address.
    RemoveAddress {
        /// The id of the address.
        address_id: Uuid,
    },
    /// Deactivates the user. Pending orders can still be confirmed or cancelled.
    Deactivate,
    /// Reactivates a deactivated user.
    Reactivate,
}

/// What happens to a field that may be empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes empty.
    Clear,
    /// It gets this value.
    Set(T),
}

impl<T> Change<T> {
    /// The field after the change, which was `old` before.
    pub fn of(self, old: Option<T>) -> Option<T> {
        match self {
            Self::Keep => old,
            Self::Clear => None,
            Self::Set(new) => Some(new),
        }
    }

    /// The change that makes the field this.
    pub fn to(new: Option<T>) -> Self {
        new.map_or(Self::Clear, Self::Set)
    }
}

/// A change of a profile. The default changes nothing.
#[derive(Debug, Clone, Default)]
pub struct ProfileChange {
    /// The name that others see.
    pub display_name: Change<PersonName>,
    /// The language of the person, as it is written where they live.
    pub locale: Change<Locale>,
    /// The telephone number.
    pub phone: Change<Phone>,
}

/// A change of preferences. The default changes nothing.
#[derive(Debug, Clone, Default)]
pub struct PreferencesChange {
    /// The language of mails and pages.
    pub language: Change<Language>,
    /// The currency to show prices in.
    pub currency: Change<Currency>,
    /// Whether the user wants the newsletter, or `None` to leave it as it is.
    pub newsletter: Option<bool>,
}

/// An address as the user gives it.
#[derive(Debug, Clone)]
pub struct NewAddress {
    /// What the user calls it, such as "at work".
    pub label: Option<AddressLine>,
    /// The recipient and the place in the country.
    pub postal: PostalAddress,
    /// The country and the region.
    pub destination: Destination,
}
