//! The rate class of a product, which with the destination says its tax rate.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The class of a product for taxes. Each country has a rate for each class that it knows.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
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
