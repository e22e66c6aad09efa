//! Why an instance is undone, as data in its events. The order's reason follows from it.

use std::fmt;

use domain::order::{CancelReason, Cancellation, OrderStatus};
use saga::{Outcome, Reason, Undoing};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{AUTHORISE, CAPTURE};
use crate::application::error::ShortLine;

/// The maximum number of products that a reason names.
const MAX_PRODUCTS: usize = 10;

/// Why an instance is undone. What is stored of it is in events, so it is permanent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    #[serde(skip)]
    Unanswered,
    /// Another step did not end in time.
    #[serde(skip)]
    Late,
    /// A person gave up.
    #[serde(skip)]
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

    /// The reason as the saga's events keep it.
    pub fn reason(&self) -> Reason {
        Reason { text: self.to_string(), details: json!(self) }
    }

    /// A step is refused for good, for this reason.
    pub(super) fn refuses(&self) -> Outcome {
        Outcome::Rejected(self.reason())
    }

    /// Reads why an instance is undone. Without details, a time has run out.
    pub fn read(undoing: &Undoing) -> Self {
        let Undoing { details, step, by, .. } = undoing;
        if by.is_some() {
            return Self::GivenUp;
        }
        let stored = serde_json::from_value(details.clone());
        stored.unwrap_or_else(|_| match step.as_deref() {
            Some(AUTHORISE | CAPTURE) => Self::Unanswered,
            _ => Self::Late,
        })
    }

    /// What the order is cancelled for.
    pub fn cancellation(&self) -> Cancellation {
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
            Self::Cancelled => f.write_str("cancelled"),
            Self::TakenOver => f.write_str("recorded by hand"),
            Self::OutOfStock(products) => {
                let products: Vec<String> = products.iter().map(Uuid::to_string).collect();
                write!(f, "out of stock: {}", products.join(", "))
            }
            Self::Declined(code) => write!(f, "payment declined: {code}"),
            Self::Rejected(code) => write!(f, "not shipped: {code}"),
            Self::Unanswered => f.write_str("no answer about the payment in time"),
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
        let story = meets(story).is(Status::Compensating);
        Why::read(story.instance().undoing.as_ref().unwrap())
    }

    #[test]
    fn the_reason_of_any_failed_step_is_read_from_what_the_engine_keeps() {
        let products = (1..4).map(Uuid::from_u128).collect();
        for why in [
            Why::Cancelled,
            Why::TakenOver,
            Why::OutOfStock(products),
            Why::Declined("insufficient_funds".into()),
            Why::Rejected("not_deliverable".into()),
        ] {
            for step in STEPS {
                let read = undoing(step, |story| story.rejected(step, why.reason()));
                assert_eq!(read, why, "{step}");
            }
        }
    }

    #[test]
    fn all_products_are_read_though_their_words_are_cut_off() {
        let lines: Vec<ShortLine> = (1..30).map(short_line).collect();
        let short = Why::short(&lines);
        let Why::OutOfStock(products) = &short else { panic!("another reason") };
        assert_eq!(products.len(), MAX_PRODUCTS);
        assert_eq!(undoing(RESERVE, |story| story.rejected(RESERVE, short.reason())), short);
    }

    fn short_line(product: u128) -> ShortLine {
        let (line_id, product_id) = (Uuid::nil(), Uuid::from_u128(product));
        ShortLine { index: 0, line_id, product_id, wanted: 2, available: 1 }
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
