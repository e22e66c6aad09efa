//! The events of the log that an instance hears of: what people did to its order meanwhile.

use domain::order::CancelReason;
use event_store::{EventType, InvalidName, RecordedEvent};
use saga::Signal;
use saga::instance::{Answer, Part};
use serde::Deserialize;
use uuid::Uuid;

use super::{AUTHORISE, SHIP, Why};
use crate::sagas::PRINCIPAL;

const CANCELLED: &str = "order.sale_cancelled";
const PAID: &str = "order.paid";
const SHIPPED: &str = "order.shipped";

/// The types of the events.
///
/// # Errors
/// Never: the names are valid.
pub(super) fn types() -> Result<Vec<EventType>, InvalidName> {
    [CANCELLED, PAID, SHIPPED].iter().map(|name| name.parse()).collect()
}

#[derive(Deserialize)]
struct OfOrder {
    order_id: Uuid,
    #[serde(default)]
    reason: Option<serde_json::Value>,
}

/// What an event tells the instance of its order. The saga's own events tell it nothing new.
pub(super) fn read(event: &RecordedEvent) -> Option<(String, Signal)> {
    let is_own = |actor: &str| actor.strip_prefix("system:") == Some(PRINCIPAL);
    if event.metadata.actor.as_deref().is_some_and(is_own) {
        return None;
    }
    let OfOrder { order_id, reason } = serde_json::from_str(event.data.get()).ok()?;
    let signal = match event.event_type.as_str() {
        CANCELLED => {
            let by = reason.and_then(|reason| serde_json::from_value::<CancelReason>(reason).ok());
            let by = by.map_or("unknown", CancelReason::as_str);
            Signal::Cancel { reason: format!("{}: {by}", Why::Cancelled) }
        }
        PAID => look_again(AUTHORISE),
        SHIPPED => look_again(SHIP),
        _ => return None,
    };
    Some((order_id.to_string(), signal))
}

/// Has a step under way look at its order again, which a person has changed.
fn look_again(step: &str) -> Signal {
    let reason = "recorded by hand".to_owned();
    let answer = Answer::Unavailable { reason, retry_after: None };
    Signal::Answer { step: step.to_owned(), part: Part::Action, answer }
}
