//! A share of an amount: a discount or a tax rate.

use serde::{Deserialize, Serialize};

/// A rate in basis points, which are hundredths of a percent: 0 to [`Rate::MAX`]. 1,900 is 19 %.
///
/// Deserialising does not check it again, because a rate in a stored event was valid when it was
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(u16);

/// The error for a number that is not between 0 and [`Rate::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate is not between 0 and {} basis points", Rate::MAX)]
pub struct RateError;

impl Rate {
    /// 100 %, in basis points.
    pub const MAX: u16 = 10_000;

    /// Accepts a number of basis points from 0 to [`Rate::MAX`].
    ///
    /// # Errors
    /// [`RateError`] if the number is larger.
    pub const fn from_basis_points(number: u16) -> Result<Self, RateError> {
        if number <= Self::MAX { Ok(Self(number)) } else { Err(RateError) }
    }

    /// The rate in basis points.
    pub const fn basis_points(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Rate, RateError};

    #[test]
    fn a_rate_is_at_most_all() {
        assert_eq!(Rate::from_basis_points(0).map(Rate::basis_points), Ok(0));
        assert_eq!(Rate::from_basis_points(Rate::MAX).map(Rate::basis_points), Ok(10_000));
        assert_eq!(Rate::from_basis_points(10_001), Err(RateError));
    }
}
