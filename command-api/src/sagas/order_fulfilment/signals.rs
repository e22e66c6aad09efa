//! The events of the log that are signals to an instance: what people did to its order meanwhile,
//! and what the payment provider reports.

use domain::order::CancelReason;
use domain::payment::{PaymentReported, ReportedState};
use event_store::{EventType, InvalidName, RecordedEvent};
use saga::instance::{Answer, Part};
use saga::{Reason, Signal};
use serde::Deserialize;
use uuid::Uuid;

use super::progress::Returned;
use super::{AUTHORISE, CAPTURE, SHIP, Why};
use crate::sagas::PRINCIPAL;

const CANCELLED: &str = "order.sale_cancelled";
const PAID: &str = "order.paid";
const SHIPPED: &str = "order.shipped";
const REPORTED: &str = "payment.reported";

/// The types of the events.
///
/// # Errors
/// Never: the names are valid.
pub(super) fn types() -> Result<Vec<EventType>, InvalidName> {
    [CANCELLED, PAID, SHIPPED, REPORTED].iter().map(|name| name.parse()).collect()
}

#[derive(Deserialize)]
struct OfOrder {
    order_id: Uuid,
    #[serde(default)]
    reason: Option<serde_json::Value>,
}

/// Reads the signal of an event, and the key of its instance. The saga's own events are no signals.
pub(super) fn read(event: &RecordedEvent) -> Option<(String, Signal)> {
    if event.event_type.as_str() == REPORTED {
        return reported(&serde_json::from_str(event.data.get()).ok()?);
    }
    let is_own = |actor: &str| actor.strip_prefix("system:") == Some(PRINCIPAL);
    if event.metadata.actor.as_deref().is_some_and(is_own) {
        return None;
    }
    let OfOrder { order_id, reason } = serde_json::from_str(event.data.get()).ok()?;
    let signal = match event.event_type.as_str() {
        CANCELLED => {
            let by = reason.and_then(|reason| serde_json::from_value::<CancelReason>(reason).ok());
            let by = by.map_or("unknown", CancelReason::as_str);
            let Reason { text, details } = Why::Cancelled.reason();
            Signal::Cancel { reason: Reason { text: format!("{text}: {by}"), details } }
        }
        PAID => look_again(AUTHORISE),
        SHIPPED => look_again(SHIP),
        _ => return None,
    };
    Some((order_id.to_string(), signal))
}

/// The provider's report of a payment as a signal. A step that has its outcome already ignores it.
fn reported(report: &PaymentReported) -> Option<(String, Signal)> {
    let done = || Answer::Done(Returned::Payment(report.payment_id.as_str().to_owned()).value());
    let (step, answer) = match report.state {
        ReportedState::Authorised => (AUTHORISE, done()),
        ReportedState::Captured => (CAPTURE, done()),
        ReportedState::Declined => {
            let code = report.code.as_ref().map_or("unspecified", |code| code.as_str());
            (AUTHORISE, Answer::Rejected(Why::Declined(code.to_owned()).reason()))
        }
        ReportedState::Pending | ReportedState::Released => return None,
    };
    let signal = Signal::Answer { step: step.to_owned(), part: Part::Action, call: None, answer };
    Some((report.order_id.to_string(), signal))
}

/// Makes a step that is under way look at its order again, because a person has changed it.
fn look_again(step: &str) -> Signal {
    let reason = "recorded by hand".to_owned();
    let answer = Answer::Unavailable { reason, retry_after: None };
    Signal::Answer { step: step.to_owned(), part: Part::Action, call: None, answer }
}
