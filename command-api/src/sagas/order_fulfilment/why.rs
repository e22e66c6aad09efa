//! Why an instance is undone: a short code in the reason of the failed step or of the signal, from
//! which the order's reason follows.

use std::fmt;

use domain::order::{CancelReason, Cancellation, OrderStatus};
use saga::Undoing;
use uuid::Uuid;

use super::{AUTHORISE, CAPTURE};
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
    /// The payment provider gave no answer in time.
    Unanswered,
    /// Another step did not end in time.
    Late,
    /// A person gave up.
    GivenUp,
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

    /// Reads why an instance is undone.
    pub fn read(undoing: &Undoing) -> Self {
        let Undoing { reason, step, by } = undoing;
        if by.is_some() {
            return Self::GivenUp;
        }
        let (code, more) = reason.split_once(": ").unwrap_or((reason, ""));
        match (code, step.as_deref()) {
            (CANCELLED, _) => Self::Cancelled,
            (TAKEN_OVER, _) => Self::TakenOver,
            (DECLINED, _) => Self::Declined(more.to_owned()),
            (REJECTED, _) => Self::Rejected(more.to_owned()),
            // A long reason may end in the middle of an id.
            (OUT_OF_STOCK, _) => {
                Self::OutOfStock(more.split(", ").filter_map(|id| id.parse().ok()).collect())
            }
            (_, Some(AUTHORISE | CAPTURE)) => Self::Unanswered,
            _ => Self::Late,
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
            Self::Unanswered => CancelReason::PaymentUnanswered.into(),
            Self::Late => CancelReason::Expired.into(),
            // An order that was cancelled by somebody else has a reason already.
            Self::GivenUp | Self::Cancelled | Self::TakenOver => CancelReason::Staff.into(),
        }
    }
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
            Self::Unanswered => f.write_str("no answer in time"),
            Self::Late => f.write_str("not in time"),
            Self::GivenUp => f.write_str("given up"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use saga::instance::{Decision, Status};
    use saga::test_kit::Story;
    use serde_json::json;

    use super::super::{ACCEPT, RECORD_PAYMENT, RECORD_SHIPMENT, RESERVE, SHIP, Times, definition};
    use super::*;

    const STEPS: [&str; 7] =
        [ACCEPT, RESERVE, AUTHORISE, CAPTURE, RECORD_PAYMENT, SHIP, RECORD_SHIPMENT];

    /// What the engine hands to the compensations of an instance that came to this step and met
    /// this there.
    fn undoing(last: &str, meets: impl Fn(Story<'_>) -> Story<'_>) -> Why {
        let definition = definition(Times::default());
        let mut story = Story::of(&definition).starts("17", json!({}));
        for step in STEPS.iter().take_while(|step| **step != last) {
            story = story.done(step);
        }
        let story = meets(story);
        // The first step has nothing to undo.
        let statuses = [Status::Compensating, Status::Compensated];
        assert!(statuses.contains(&story.instance().status), "{:?}", story.instance());
        Why::read(&story.instance().undoing().unwrap())
    }

    #[test]
    fn the_code_of_any_failed_step_is_read_from_what_the_engine_keeps() {
        let products = (1..4).map(Uuid::from_u128).collect();
        for why in [
            Why::Cancelled,
            Why::TakenOver,
            Why::OutOfStock(products),
            Why::Declined("insufficient_funds".into()),
            Why::Rejected("not_deliverable".into()),
        ] {
            for step in STEPS {
                let read = undoing(step, |story| story.rejected(step, &why.to_string()));
                assert_eq!(read, why, "{step}");
            }
        }
    }

    #[test]
    fn a_reason_that_is_cut_off_keeps_the_whole_ids() {
        let products: Vec<Uuid> = (1..30).map(Uuid::from_u128).collect();
        let long = Why::OutOfStock(products.clone()).to_string();
        let Why::OutOfStock(read) = undoing(RESERVE, |story| story.rejected(RESERVE, &long)) else {
            panic!("another reason")
        };
        assert!(!read.is_empty() && products.starts_with(&read), "{read:?}");
    }

    #[test]
    fn a_missed_deadline_is_never_said_to_be_a_decision_of_staff() {
        for step in STEPS {
            let missed = undoing(step, |mut story| {
                while story.instance().status == Status::Running {
                    story = story.fails(step, "away").later();
                }
                story
            });
            let expected = match step {
                AUTHORISE | CAPTURE => CancelReason::PaymentUnanswered,
                _ => CancelReason::Expired,
            };
            assert_eq!(missed.cancellation().reason, expected, "{step}");
        }
    }

    #[test]
    fn whatever_a_person_writes_is_a_decision_of_staff() {
        for words in ["the customer called", "out_of_stock: 7", "ship it by hand"] {
            let reason = words.to_owned();
            let given_up =
                undoing(SHIP, |story| story.operated(Decision::GiveUp { reason: reason.clone() }));
            assert_eq!(given_up, Why::GivenUp, "{words}");
            assert_eq!(given_up.cancellation().reason, CancelReason::Staff);
        }
    }
}
