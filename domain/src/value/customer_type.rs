//! The type of a customer, which discounts may depend on.

use serde::{Deserialize, Serialize};

/// What kind of customer a user is. It says nothing about the person, so it is no personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerType {
    /// A consumer. Every user is one at first.
    #[default]
    Consumer,
    /// A company that buys for itself.
    Business,
    /// A company that sells on what it buys.
    Reseller,
}

impl CustomerType {
    /// The type as a word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Business => "business",
            Self::Reseller => "reseller",
        }
    }
}
