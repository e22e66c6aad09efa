//! The rate class of a product, which with the destination says its tax rate.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class of a product for taxes. Each country has a rate for each class that it knows.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RateClass {
    /// Most products. A product that was never classified has this class.
    #[default]
    Standard,
    /// Products with a lower rate, such as books in many countries.
    Reduced,
    /// Products that a country taxes at zero.
    Zero,
}

/// The error for a text that is not a [`RateClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate class is not standard, reduced or zero")]
pub struct RateClassError;

impl FromStr for RateClass {
    type Err = RateClassError;

    fn from_str(text: &str) -> Result<Self, RateClassError> {
        let all = [Self::Standard, Self::Reduced, Self::Zero];
        all.into_iter().find(|one| one.as_str() == text).ok_or(RateClassError)
    }
}

impl RateClass {
    /// The class as a word, as stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Reduced => "reduced",
            Self::Zero => "zero",
        }
    }
}

impl fmt::Display for RateClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
