//! What the payment provider tells by itself: `POST /webhooks/payments`.
//!
//! The adapter checks the signature, the age and whether the event came before. A report that the
//! saga of its order waits for goes into the log, and the saga hears of it there. Others are
//! answered and forgotten. A report that is lost costs time only: the saga asks the provider from
//! time to time.

use std::sync::{Arc, OnceLock};

use access::{Caller, Policy, Principal};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use domain::payment::{PaymentReported, ReportedState};
use domain::value::Evidence;
use saga::instance::Leg;
use saga::ops::Operations;
use service_kit::Problem;
use service_kit::clock::SharedClock;
use service_kit::operations::answer::RETRY_LATER;

use crate::adapter::stripe::webhook::{
    About, MAX_BODY, Notice, Received, SIGNATURE, WebhookError, Webhooks,
};
use crate::application::access::Permit;
use crate::application::use_case::ReportPayment;
use crate::application::{CommandError, Commands, Context};
use crate::port::payment::{Payment, PaymentState};
use crate::sagas::PRINCIPAL;
use crate::sagas::order_fulfilment::{AUTHORISE, CAPTURE, NAME};

/// The path of the payment provider's events.
const PAYMENTS: &str = "/webhooks/payments";

/// What handles the events. It is there when the stores are open.
pub(super) type Late = Arc<OnceLock<Reports>>;

/// Takes reports into the log.
pub(super) struct Reports {
    pub(super) operations: Operations,
    pub(super) commands: Arc<Commands>,
}

#[derive(Clone)]
struct Api {
    webhooks: Arc<Webhooks>,
    reports: Late,
    clock: SharedClock,
}

/// The routes of what providers tell.
pub(super) fn routes(webhooks: Webhooks, reports: Late, clock: SharedClock) -> Router {
    Router::new()
        .route(PAYMENTS, post(payments))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Api { webhooks: Arc::new(webhooks), reports, clock })
}

async fn payments(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Response {
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    let received = match signature {
        Some(signature) => api.webhooks.receive(signature, &body, api.clock.now()),
        None => Err(WebhookError::Malformed),
    };
    match received {
        Err(error) => {
            tracing::warn!(%error, "an event of the payment provider is refused");
            Problem::new(StatusCode::BAD_REQUEST, "webhook/refused", "The event is refused")
                .detail(error.to_string())
                .into_response()
        }
        Ok(Received::Repeated) => StatusCode::OK.into_response(),
        Ok(Received::New(Notice { id, about })) => {
            let About::Payment { payment, .. } = about else {
                return StatusCode::OK.into_response();
            };
            match api.report(&payment).await {
                Ok(()) => StatusCode::OK.into_response(),
                Err(problem) => {
                    tracing::warn!(event = id, "an event of the payment provider is not recorded");
                    problem.into_response()
                }
            }
        }
    }
}

impl Api {
    async fn report(&self, payment: &Payment) -> Result<(), Problem> {
        let away = || Problem::unavailable("not-ready", "The log is not reached yet", RETRY_LATER);
        let (Some(order_id), Some(state)) = (payment.order, reported(&payment.state)) else {
            return Ok(());
        };
        let reports = self.reports.get().ok_or_else(away)?;
        let instance = saga::id::of_instance(NAME, &order_id.to_string());
        let shown = reports.operations.show(instance).await.map_err(|error| {
            tracing::warn!(error = cli_kit::describe(&error), "a saga cannot be read");
            away()
        })?;
        let step = if state == ReportedState::Captured { CAPTURE } else { AUTHORISE };
        let waits = shown.is_some_and(|shown| {
            let leg = shown.instance.steps.get(step).map(|step| step.action);
            leg.is_some_and(is_open)
        });
        let Ok(payment_id) = Evidence::parse(payment.id.as_str()) else { return Ok(()) };
        if !waits {
            return Ok(());
        }
        let code = match &payment.state {
            PaymentState::Declined(code) => Evidence::parse(code.as_str()).ok(),
            _ => None,
        };
        let report = PaymentReported { order_id, payment_id, state, code };
        reports.record(report).await.map_err(|error| {
            tracing::warn!(error = cli_kit::describe(&error), "a report cannot be recorded");
            away()
        })
    }
}

impl Reports {
    async fn record(&self, report: PaymentReported) -> Result<(), CommandError> {
        let Ok(principal) = Principal::system(PRINCIPAL) else { return Ok(()) };
        let caller = Caller::system(principal);
        let permit = Permit::of::<ReportPayment>(&Policy::default(), &caller)?;
        let context = Context::new(caller);
        self.commands.run(ReportPayment { report }, permit, context).await.map(drop)
    }
}

/// Whether the step may still get an outcome, also after it was undone.
const fn is_open(leg: Leg) -> bool {
    matches!(leg, Leg::Requested { .. } | Leg::Resting { .. } | Leg::Failed { certain: false, .. })
}

/// What is worth a report.
const fn reported(state: &PaymentState) -> Option<ReportedState> {
    match state {
        PaymentState::Authorised => Some(ReportedState::Authorised),
        PaymentState::Captured => Some(ReportedState::Captured),
        PaymentState::Declined(_) => Some(ReportedState::Declined),
        PaymentState::Pending | PaymentState::Released => None,
    }
}
