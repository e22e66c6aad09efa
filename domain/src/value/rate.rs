//! A share of an amount: a discount or a tax rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rate in parts per million: 0 to 1,000,000. 190,000 is 19 %, and 88,750 is 8.875 %.
///
/// Deserialising does not check it again, because a rate in a stored event was valid when it was
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Rate(u32);

/// The error for a number that is not between 0 and [`Rate::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate is not between 0 and {} parts per million", Rate::MAX)]
pub struct RateError;

impl Rate {
    /// 100 %, in parts per million.
    pub const MAX: u32 = 1_000_000;

    /// Accepts a number of parts per million from 0 to [`Rate::MAX`].
    ///
    /// # Errors
    /// [`RateError`] if the number is larger.
    pub const fn from_parts_per_million(number: u32) -> Result<Self, RateError> {
        if number <= Self::MAX { Ok(Self(number)) } else { Err(RateError) }
    }

    /// The rate in parts per million.
    pub const fn parts_per_million(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, RateError};

    #[test]
    fn a_rate_is_at_most_all() {
        assert_eq!(Rate::from_parts_per_million(0).map(Rate::parts_per_million), Ok(0));
        let all = Rate::from_parts_per_million(Rate::MAX).map(Rate::parts_per_million);
        assert_eq!(all, Ok(1_000_000));
        assert_eq!(Rate::from_parts_per_million(1_000_001), Err(RateError));
    }
}
