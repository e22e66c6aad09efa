//! Why an instance is undone: a short code in its events, from which the order's reason follows.

use std::fmt;

use domain::order::{CancelReason, Cancellation, OrderStatus};
use uuid::Uuid;

use super::{AUTHORISE, CAPTURE, RESERVE, SHIP};
use crate::application::error::ShortLine;

/// The maximum number of products that a reason names.
const MAX_PRODUCTS: usize = 10;

const CANCELLED: &str = "cancelled";
const TAKEN_OVER: &str = "taken_over";
const OUT_OF_STOCK: &str = "out_of_stock";
const DECLINED: &str = "payment_declined";
const REJECTED: &str = "shipping_rejected";

/// Why an instance is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The order was cancelled by somebody else.
    Cancelled,
    /// A person recorded by hand what the saga did, too. The order stays as it is, and people go on
    /// with it.
    TakenOver,
    /// These products lack units.
    OutOfStock(Vec<Uuid>),
    /// The payment was declined, with the provider's code.
    Declined(String),
    /// The shipper does not ship it, with the shipper's code.
    Rejected(String),
    /// A step did not end in time, or a person gave up.
    Other(String),
}

impl Why {
    /// The refusal of a step whose order has this status already.
    pub(super) const fn of_status(status: OrderStatus) -> Self {
        match status {
            OrderStatus::Cancelled => Self::Cancelled,
            _ => Self::TakenOver,
        }
    }

    /// The refusal for lines that lack units.
    pub(super) fn short(lines: &[ShortLine]) -> Self {
        Self::OutOfStock(lines.iter().map(|line| line.product_id).take(MAX_PRODUCTS).collect())
    }

    /// Reads the reason of an instance: `STEP failed: CODE: MORE` if a step failed,
    /// `cancelled: MORE` if the order was cancelled, or the words of a person.
    pub fn read(reason: &str) -> Self {
        let mut parts = reason.split(": ");
        let Some(code) = parts.by_ref().find(|part| is_code(part)) else {
            return Self::Other(reason.to_owned());
        };
        let more = parts.collect::<Vec<_>>().join(": ");
        match code {
            CANCELLED => Self::Cancelled,
            TAKEN_OVER => Self::TakenOver,
            DECLINED => Self::Declined(more),
            REJECTED => Self::Rejected(more),
            // A long reason may end in the middle of an id.
            _ => Self::OutOfStock(more.split(", ").filter_map(|id| id.parse().ok()).collect()),
        }
    }

    /// What the order says of its cancellation.
    pub(super) fn cancellation(&self) -> Cancellation {
        match self {
            Self::OutOfStock(products) => {
                let products = products.clone();
                Cancellation { reason: CancelReason::OutOfStock, products }
            }
            Self::Declined(_) => CancelReason::PaymentDeclined.into(),
            Self::Rejected(_) => CancelReason::ShippingRejected.into(),
            Self::Other(reason) => of_step(reason).into(),
            // The order has a reason already.
            Self::Cancelled | Self::TakenOver => CancelReason::Staff.into(),
        }
    }
}

/// The reason of an order whose step had no outcome in time. Any other text, such as that of a
/// person who gave up, means staff.
fn of_step(reason: &str) -> CancelReason {
    let is_of = |step: &str| reason.starts_with(step);
    if is_of(AUTHORISE) || is_of(CAPTURE) {
        CancelReason::PaymentUnanswered
    } else if is_of(SHIP) || is_of(RESERVE) {
        CancelReason::Expired
    } else {
        CancelReason::Staff
    }
}

fn is_code(part: &str) -> bool {
    [CANCELLED, TAKEN_OVER, OUT_OF_STOCK, DECLINED, REJECTED].contains(&part)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str(CANCELLED),
            Self::TakenOver => f.write_str(TAKEN_OVER),
            Self::OutOfStock(products) => {
                let products: Vec<_> = products.iter().map(Uuid::to_string).collect();
                write!(f, "{OUT_OF_STOCK}: {}", products.join(", "))
            }
            Self::Declined(code) => write!(f, "{DECLINED}: {code}"),
            Self::Rejected(code) => write!(f, "{REJECTED}: {code}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_back_after_the_step_that_failed() {
        let products = (1..4).map(Uuid::from_u128).collect();
        for why in [
            Why::Cancelled,
            Why::TakenOver,
            Why::OutOfStock(products),
            Why::Declined("insufficient_funds".into()),
            Why::Rejected("not_deliverable".into()),
        ] {
            assert_eq!(Why::read(&why.to_string()), why);
            assert_eq!(Why::read(&format!("{SHIP}: {why}")), why);
        }
        let cut = format!("{RESERVE}: {OUT_OF_STOCK}: {}, 0000", Uuid::nil());
        assert_eq!(Why::read(&cut), Why::OutOfStock(vec![Uuid::nil()]));
    }

    #[test]
    fn without_a_code_the_step_says_the_reason_of_the_order() {
        let reason = |text: &str| Why::read(text).cancellation().reason;
        let late = |step: &str| format!("{step}: no outcome in time");
        assert_eq!(reason(&late(AUTHORISE)), CancelReason::PaymentUnanswered);
        assert_eq!(reason(&late(CAPTURE)), CancelReason::PaymentUnanswered);
        assert_eq!(reason(&late(SHIP)), CancelReason::Expired);
        assert_eq!(reason(&late(RESERVE)), CancelReason::Expired);
        assert_eq!(reason("the customer called"), CancelReason::Staff);
    }
}
