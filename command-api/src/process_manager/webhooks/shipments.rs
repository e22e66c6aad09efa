//! `POST /webhooks/shipments`: the order of a shipment that arrived is recorded as delivered, if
//! it is the shipment that its saga asked for.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use domain::order::OrderError;
use domain::value::{Evidence, Reason};
use service_kit::Problem;

use super::{Api, Refusal, away, refused, signature};
use crate::adapter::sandbox::webhook::{SIGNATURE, ShipmentNotice, ShipmentWebhooks};
use crate::adapter::signed::Received;
use crate::application::CommandError;
use crate::application::use_case::{AggregateError, Delivery, Note, RecordOrder};
use crate::port::shipping::{Shipment, ShipmentState};
use crate::sagas::order_fulfilment::Shipped;

const PATH: &str = "/webhooks/shipments";
/// The reason of the delivery in the event of the order.
const DELIVERED: &str = "reported by the shipper";

pub(super) fn routes(api: Api<ShipmentWebhooks>) -> Router {
    Router::new().route(PATH, post(take)).with_state(Arc::new(api))
}

async fn take(
    State(api): State<Arc<Api<ShipmentWebhooks>>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let received = signature(&headers, SIGNATURE)
        .and_then(|signature| api.webhooks.receive(signature, &body, api.clock.now()));
    let (ShipmentNotice { shipment, .. }, claim) = match received {
        Err(error) => return refused("shipper", error),
        Ok(Received::UnderWay) => return StatusCode::CONFLICT.into_response(),
        Ok(Received::Repeated) => return StatusCode::OK.into_response(),
        Ok(Received::New(notice, claim)) => (notice, claim),
    };
    match deliver(&api, &shipment).await {
        Ok(()) => {
            claim.done();
            StatusCode::OK.into_response()
        }
        // The claim ends unfinished, so the event is new when it comes again.
        Err(problem) => problem.into_response(),
    }
}

async fn deliver(api: &Api<ShipmentWebhooks>, shipment: &Shipment) -> Result<(), Problem> {
    if shipment.state != ShipmentState::Delivered {
        return Ok(());
    }
    let Some(saga) = api.reports()?.saga(shipment.order).await? else { return Ok(()) };
    match Shipped::of(&saga) {
        // The shipper was faster than the log, and sends the event again.
        Shipped::NotYet => return Err(away()),
        Shipped::With(id) if id == shipment.id.as_str() => {}
        Shipped::With(_) | Shipped::Otherwise => {
            let (order, shipment) = (shipment.order, shipment.id.as_str());
            tracing::warn!(%order, shipment, "a shipment arrived that its order does not have");
            return Ok(());
        }
    }
    let (Ok(reason), Ok(evidence)) =
        (Reason::parse(DELIVERED), Evidence::parse(shipment.id.as_str()))
    else {
        return Ok(());
    };
    let note = Note { reason, evidence: Some(evidence) };
    match api.reports()?.run(RecordOrder::<Delivery>::noted(shipment.order, note)).await {
        // A person recorded the delivery, or a later step.
        Err(Refusal::Command(CommandError::Refused(AggregateError::Order(
            OrderError::OtherStatus { .. },
        )))) => Ok(()),
        done => Ok(done?),
    }
}
