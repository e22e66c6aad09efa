//! The type of a customer, which discounts may depend on.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of customer a user is. It says nothing about the person, so it is no personal data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// The error for a text that is not a type of customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the type of the customer is not consumer, business or reseller")]
pub struct CustomerTypeError;

impl FromStr for CustomerType {
    type Err = CustomerTypeError;

    fn from_str(text: &str) -> Result<Self, CustomerTypeError> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or(CustomerTypeError)
    }
}

impl CustomerType {
    /// All types.
    pub const ALL: [Self; 3] = [Self::Consumer, Self::Business, Self::Reseller];

    /// The type as a word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Business => "business",
            Self::Reseller => "reseller",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CustomerType, CustomerTypeError};

    #[test]
    fn a_type_is_read_as_it_is_shown() {
        for one in CustomerType::ALL {
            assert_eq!(one.as_str().parse(), Ok(one));
        }
        assert_eq!("Business".parse::<CustomerType>(), Err(CustomerTypeError));
    }
}
