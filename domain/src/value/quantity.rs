//! The quantity of a product in an order line.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of units of a product: 1 to 1,000,000.
///
/// Deserialising does not check it again, because a quantity in a stored event was valid when it
/// was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Quantity(u32);

/// The error for a number that is not between 1 and [`Quantity::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quantity is not between 1 and {}", Quantity::MAX)]
pub struct QuantityError;

impl Quantity {
    /// The maximum number of units in one order line.
    pub const MAX: u32 = 1_000_000;

    /// Accepts a number from 1 to [`Quantity::MAX`].
    ///
    /// # Errors
    /// [`QuantityError`] if the number is outside that range.
    pub fn new(number: u32) -> Result<Self, QuantityError> {
        if (1..=Self::MAX).contains(&number) { Ok(Self(number)) } else { Err(QuantityError) }
    }

    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;

    fn try_from(number: i64) -> Result<Self, QuantityError> {
        u32::try_from(number).map_err(|_| QuantityError).and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::{Quantity, QuantityError};

    #[test]
    fn a_quantity_is_from_one_to_its_limit() {
        assert_eq!(Quantity::try_from(1).map(Quantity::get), Ok(1));
        assert_eq!(
            Quantity::try_from(i64::from(Quantity::MAX)).map(Quantity::get),
            Ok(Quantity::MAX)
        );
        for number in [i64::MIN, -1, 0, i64::from(Quantity::MAX) + 1, i64::MAX] {
            assert_eq!(Quantity::try_from(number), Err(QuantityError), "{number}");
        }
    }
}
