//! The arrival of shipments, which a test or a person decides: `POST /_arrivals/{order}`.

use axum::extract::{Path, State as Extracted};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::simulation::api::{Sandbox, World};
use crate::simulation::journal::JournalError;
use crate::simulation::shipments::{Phase, Shipment};
use crate::simulation::state::{About, Change, Entry, Hook, Saved};

/// Answers with the number of shipments of the order that arrive now, or with 404.
pub(crate) async fn arrive(
    Extracted(here): Extracted<Sandbox>,
    Path(order): Path<String>,
) -> Response {
    match here.arrive(&order) {
        Ok(0) => (StatusCode::NOT_FOUND, "no shipment of this order is under way").into_response(),
        Ok(count) => axum::Json(json!({ "arrived": count })).into_response(),
        Err(error) => {
            tracing::error!(error = cli_kit::describe(&error), "the state cannot be written");
            StatusCode::INSUFFICIENT_STORAGE.into_response()
        }
    }
}

impl Sandbox {
    /// Delivers the shipments of an order. Returns how many.
    fn arrive(&self, order: &str) -> Result<usize, JournalError> {
        let mut world = self.world();
        let is_due = |it: &&Shipment| it.order == order && it.state == Phase::Requested;
        let due: Vec<Shipment> = world.state.shipments.values().filter(is_due).cloned().collect();
        for shipment in &due {
            let shipment = Shipment { state: Phase::Delivered, ..shipment.clone() };
            let hook = self.hooks().map(|_| self.told(&world, &shipment));
            world.append(&Entry::Done {
                key: None,
                fingerprint: String::new(),
                answer: Saved { status: 200, body: String::new() },
                change: Some(Change::Delivered(shipment)),
                hook,
            })?;
        }
        drop(world);
        self.news();
        Ok(due.len())
    }

    /// The event about an arrival.
    fn told(&self, world: &World, shipment: &Shipment) -> Hook {
        let (number, at) = (world.state.next_hook, self.now().timestamp_millis());
        let event = json!({
            "id": format!("evt_{number}"),
            "type": "shipment.delivered",
            "shipment": shipment.show(),
        });
        Hook { number, at, event, about: About::Shipment }
    }
}
