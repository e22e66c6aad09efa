//! `POST /webhooks/payments`: records a report in the log if the saga of its order waits for it.
//! The saga reads it there. Other reports are answered, but not recorded.
//!
//! What is recorded is the payment as the provider shows it now, if it is the one that the saga
//! asked for.
//!
//! A report that is lost costs time only: the saga asks the provider from time to time.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use domain::payment::{PaymentReported, ReportedState};
use domain::value::Evidence;
use saga::instance::Leg;
use service_kit::Problem;
use uuid::Uuid;

use super::{Api, reading, refused, signature, unread};
use crate::adapter::signed::Received;
use crate::adapter::stripe::webhook::{About, Notice, SIGNATURE, Webhooks};
use crate::application::use_case::ReportPayment;
use crate::port::payment::{PaymentId, PaymentState};
use crate::sagas::order_fulfilment::{AUTHORISE, CAPTURE, Expected};

const PATH: &str = "/webhooks/payments";

pub(super) fn routes(api: Api<Webhooks>) -> Router {
    Router::new().route(PATH, post(take)).with_state(Arc::new(api))
}

async fn take(State(api): State<Arc<Api<Webhooks>>>, headers: HeaderMap, body: Bytes) -> Response {
    let received = signature(&headers, SIGNATURE)
        .and_then(|signature| api.webhooks.receive(signature, &body, api.clock.now()));
    let (Notice { about, .. }, claim) = match received {
        Err(error) => return refused("payment provider", error),
        Ok(Received::UnderWay) => return StatusCode::CONFLICT.into_response(),
        Ok(Received::Repeated) => return StatusCode::OK.into_response(),
        Ok(Received::New(notice, claim)) => (notice, claim),
    };
    let About::Payment { id, order: Some(order), .. } = about else {
        claim.done();
        return StatusCode::OK.into_response();
    };
    match report(&api, &id, order).await {
        Ok(()) => {
            claim.done();
            StatusCode::OK.into_response()
        }
        // The claim ends unfinished, so the event is new when it comes again.
        Err(problem) => problem.into_response(),
    }
}

async fn report(api: &Api<Webhooks>, id: &PaymentId, order_id: Uuid) -> Result<(), Problem> {
    let reports = api.reports()?;
    let Some(saga) = reports.saga(order_id).await? else { return Ok(()) };
    let leg = |step: &str| saga.steps.get(step).map(|step| step.action);
    let is_awaited = |step: &str| leg(step).is_some_and(is_open);
    if !is_awaited(AUTHORISE) && !is_awaited(CAPTURE) {
        return Ok(());
    }
    let Some(expected) = Expected::of(&saga) else { return Ok(()) };
    let reading = reading(expected.key(), expected.since());
    let payment = match reports.payments.read(&reading, id).await {
        Ok(payment) => payment,
        Err(error) => return unread(error).map_or(Ok(()), Err),
    };
    if let Err(why) = expected.check(&payment) {
        tracing::warn!(order = %order_id, payment = id.as_str(), %why, "a payment does not count");
        return Ok(());
    }
    let Some(state) = reported(&payment.state) else { return Ok(()) };
    if !is_awaited(if state == ReportedState::Captured { CAPTURE } else { AUTHORISE }) {
        return Ok(());
    }
    let Ok(payment_id) = Evidence::parse(id.as_str()) else { return Ok(()) };
    let code = match &payment.state {
        PaymentState::Declined(code) => Evidence::parse(code.as_str()).ok(),
        _ => None,
    };
    let report = PaymentReported { order_id, payment_id, state, code };
    Ok(reports.run(ReportPayment { report }).await?)
}

/// Whether the step may still get an outcome, also after it was undone.
const fn is_open(leg: Leg) -> bool {
    matches!(leg, Leg::Requested { .. } | Leg::Resting { .. } | Leg::Failed { certain: false, .. })
}

/// The state to report; `None` if the saga does not need to know it.
const fn reported(state: &PaymentState) -> Option<ReportedState> {
    match state {
        PaymentState::Authorised => Some(ReportedState::Authorised),
        PaymentState::Captured => Some(ReportedState::Captured),
        PaymentState::Declined(_) => Some(ReportedState::Declined),
        PaymentState::Pending | PaymentState::Released => None,
    }
}
