//! Shipments. The API is the sandbox's own:
//!
//! | request | what it does |
//! | --- | --- |
//! | `POST /shipping/v1/shipments` | asks for a shipment; `Idempotency-Key` |
//! | `POST /shipping/v1/shipments/{id}/cancel` | cancels one; `Idempotency-Key` |
//! | `GET /shipping/v1/shipments/{id}` | one shipment |
//! | `GET /shipping/v1/shipments?key=…` | the shipment that a request with this key asked for |
//!
//! A shipment arrives when a test or a person says so (`arrivals.rs`). Then it cannot be cancelled.
//!
//! An error is `{"code", "message"}`; 422 means that the shipper declines. It does not ship to
//! Antarctica (`AQ`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::simulation::ask::Outcome;
use crate::simulation::state::{Change, Saved, State};

/// The country that the shipper does not ship to.
const NOT_TO: &str = "AQ";

/// A shipment. It keeps no address: that is personal data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Shipment {
    pub(crate) number: u64,
    pub(crate) key: Option<String>,
    pub(crate) order: String,
    pub(crate) state: Phase,
}

/// Where a shipment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Requested,
    Delivered,
    Cancelled,
}

#[derive(Deserialize)]
struct Asked {
    order: String,
    recipient: String,
    street: String,
    city: String,
    country: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    quantity: u32,
}

impl Shipment {
    pub(crate) fn show(&self) -> Value {
        json!({
            "id": format!("shp_{}", self.number),
            "order": self.order,
            "state": self.state,
            "tracking": format!("SBX{:08}", self.number),
        })
    }
}

/// An error in the format of this API.
pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Saved {
    Saved { status, body: json!({ "code": code, "message": message }).to_string() }
}

/// Asks for a shipment.
pub(crate) fn ship(state: &State, key: Option<&str>, body: &[u8], is_declined: bool) -> Outcome {
    let invalid = |field: &str| {
        let message = format!("missing or invalid: {field}");
        Outcome::unsaved(refusal(400, "invalid", &message))
    };
    let Ok(asked) = serde_json::from_slice::<Asked>(body) else { return invalid("body") };
    for (field, text) in [
        ("order", &asked.order),
        ("recipient", &asked.recipient),
        ("street", &asked.street),
        ("city", &asked.city),
    ] {
        if text.trim().is_empty() {
            return invalid(field);
        }
    }
    if asked.items.is_empty() || asked.items.iter().any(|item| item.quantity == 0) {
        return invalid("items");
    }
    if is_declined || asked.country == NOT_TO {
        let message = "we do not ship this there";
        return Outcome::saved(refusal(422, "not_deliverable", message));
    }
    let shipment = Shipment {
        number: state.shipments.len() as u64 + 1,
        key: key.map(ToOwned::to_owned),
        order: asked.order,
        state: Phase::Requested,
    };
    let answer = Saved { status: 201, body: shipment.show().to_string() };
    Outcome::done(answer, Change::Shipped(shipment))
}

/// Cancels a shipment that is not on its way.
pub(crate) fn cancel(state: &State, id: &str, is_declined: bool) -> Outcome {
    let Some(shipment) = find(state, id) else { return Outcome::unsaved(no_such()) };
    if is_declined || shipment.state == Phase::Delivered {
        let message = "the shipment is on its way";
        return Outcome::saved(refusal(422, "dispatched", message));
    }
    if shipment.state == Phase::Cancelled {
        let message = "the shipment is cancelled";
        return Outcome::saved(refusal(422, "cancelled", message));
    }
    let shipment = Shipment { state: Phase::Cancelled, ..shipment.clone() };
    let answer = Saved { status: 200, body: shipment.show().to_string() };
    Outcome::done(answer, Change::Cancelled(shipment))
}

fn find<'a>(state: &'a State, id: &str) -> Option<&'a Shipment> {
    state.shipments.get(&id.strip_prefix("shp_")?.parse().ok()?)
}

fn no_such() -> Saved {
    refusal(404, "not_found", "there is no such shipment")
}

/// The answer to a request for one shipment.
pub(crate) fn read(state: &State, id: &str) -> Saved {
    shown(find(state, id))
}

/// The shipment that a request with this key asked for.
pub(crate) fn read_by_key(state: &State, key: &str) -> Saved {
    let is_of = |shipment: &&Shipment| shipment.key.as_deref() == Some(key);
    shown(state.shipments.values().rev().find(is_of))
}

fn shown(found: Option<&Shipment>) -> Saved {
    found.map_or_else(no_such, |shipment| Saved { status: 200, body: shipment.show().to_string() })
}
