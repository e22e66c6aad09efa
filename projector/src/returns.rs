//! Which of the sales in a sum were cancelled, and what was refunded of each. A refund counts
//! against a sale only while the sale counts, and no event says whether it does.

use std::collections::BTreeMap;

use projection::{TooLarge, add};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The orders of one row that were cancelled or refunded. A private column keeps them.
///
/// It has an entry of about 80 bytes for each such order of the row, and none for the others. The
/// order of the events makes no difference to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Returns(BTreeMap<Uuid, Return>);

/// What became of an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Return {
    is_cancelled: bool,
    /// All refunds, in minor units of the order's currency.
    refunded_minor: i64,
}

impl Returns {
    /// Notes that an order was cancelled after its confirmation. Returns the refunds that no longer
    /// count, in minor units of its currency.
    pub(crate) fn cancel(&mut self, order_id: Uuid) -> i64 {
        let order = self.0.entry(order_id).or_default();
        order.is_cancelled = true;
        order.refunded_minor
    }

    /// Notes a refund in minor units of the order's currency. Returns what counts of it: nothing if
    /// the order is cancelled.
    ///
    /// # Errors
    /// [`TooLarge`] on overflow.
    pub(crate) fn refund(&mut self, order_id: Uuid, minor: i64) -> Result<i64, TooLarge> {
        let order = self.0.entry(order_id).or_default();
        order.refunded_minor = add(order.refunded_minor, minor)?;
        Ok(if order.is_cancelled { 0 } else { minor })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ORDER: Uuid = Uuid::from_u128(1);
    const OTHER: Uuid = Uuid::from_u128(2);

    #[test]
    fn refunds_count_until_their_order_is_cancelled() {
        let mut returns = Returns::default();
        assert_eq!(returns.refund(ORDER, 30).unwrap(), 30);
        assert_eq!(returns.refund(OTHER, 5).unwrap(), 5);
        assert_eq!(returns.refund(ORDER, 20).unwrap(), 20);
        assert_eq!(returns.cancel(ORDER), 50);
        assert_eq!(returns.refund(ORDER, 150).unwrap(), 0);
        assert_eq!(returns.refund(OTHER, 5).unwrap(), 5);
    }

    #[test]
    fn any_order_of_the_same_events_ends_in_the_same_state_and_sum() {
        let (mut early, mut late) = (Returns::default(), Returns::default());
        let early_sum = early.refund(ORDER, 30).unwrap() - early.cancel(ORDER);
        let late_sum = -late.cancel(ORDER) + late.refund(ORDER, 30).unwrap();
        assert_eq!((early, early_sum), (late, late_sum));
    }

    #[test]
    fn a_refund_beyond_what_a_column_holds_is_refused() {
        let mut returns = Returns::default();
        assert_eq!(returns.refund(ORDER, i64::MAX).unwrap(), i64::MAX);
        assert!(returns.refund(ORDER, 1).is_err());
    }
}
