//! `POST /webhooks/payments`: records a report in the log if the saga of its order waits for it.
//! The saga reads it there. Other reports are answered, but not recorded.
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

use super::{Api, refused, signature};
use crate::adapter::signed::Received;
use crate::adapter::stripe::webhook::{About, Notice, SIGNATURE, Webhooks};
use crate::application::use_case::ReportPayment;
use crate::port::payment::{Payment, PaymentState};
use crate::sagas::order_fulfilment::{AUTHORISE, CAPTURE};

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
    let About::Payment { payment, .. } = about else {
        claim.done();
        return StatusCode::OK.into_response();
    };
    match report(&api, &payment).await {
        Ok(()) => {
            claim.done();
            StatusCode::OK.into_response()
        }
        // The claim ends unfinished, so the event is new when it comes again.
        Err(problem) => problem.into_response(),
    }
}

async fn report(api: &Api<Webhooks>, payment: &Payment) -> Result<(), Problem> {
    let (Some(order_id), Some(state)) = (payment.order, reported(&payment.state)) else {
        return Ok(());
    };
    let step = if state == ReportedState::Captured { CAPTURE } else { AUTHORISE };
    let saga = api.reports()?.saga(order_id).await?;
    let leg = saga.and_then(|saga| saga.steps.get(step).map(|step| step.action));
    let Ok(payment_id) = Evidence::parse(payment.id.as_str()) else { return Ok(()) };
    if !leg.is_some_and(is_open) {
        return Ok(());
    }
    let code = match &payment.state {
        PaymentState::Declined(code) => Evidence::parse(code.as_str()).ok(),
        _ => None,
    };
    let report = PaymentReported { order_id, payment_id, state, code };
    Ok(api.reports()?.run(ReportPayment { report }).await?)
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
