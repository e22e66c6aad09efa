//! Receives the events that providers send:
//!
//! | request | who | what it does |
//! | --- | --- | --- |
//! | `POST /webhooks/payments` | the payment provider | reports a payment to its saga |
//! | `POST /webhooks/shipments` | the shipper | records that an order is delivered |
//!
//! The adapters check the signature, the age and whether the event came before. An event is a hint
//! only: what counts is read from the provider, and compared with what the saga asked for. An event
//! that cannot be recorded now is answered with 503, so that it is sent again.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access::{Caller, InvalidName, Policy, Principal};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use saga::instance::Instance;
use saga::ops::Operations;
use service_kit::Problem;
use service_kit::clock::SharedClock;
use service_kit::operations::answer::RETRY_LATER;
use uuid::Uuid;

use crate::adapter::sandbox::webhook::ShipmentWebhooks;
use crate::adapter::signed::{MAX_BODY, WebhookError};
use crate::adapter::stripe::webhook::Webhooks;
use crate::application::access::Permit;
use crate::application::use_case::UseCase;
use crate::application::{CommandError, Commands, Context};
use crate::port::{Call, GatewayError, PaymentGateway, Shipping};
use crate::sagas::PRINCIPAL;
use crate::sagas::order_fulfilment::NAME;

mod payments;
mod shipments;

/// The time limit for reading what an event is about, with all attempts. Providers wait longer for
/// an answer.
const READING: Duration = Duration::from_secs(5);

/// What records the events. It exists once the stores are open.
pub(super) type Late = Arc<OnceLock<Reports>>;

/// The events of providers, for the log.
pub(super) struct Reports {
    pub(super) operations: Operations,
    pub(super) commands: Arc<Commands>,
    pub(super) payments: Arc<dyn PaymentGateway>,
    pub(super) shipping: Arc<dyn Shipping>,
}

/// The readers of events, of the providers whose secrets are set.
pub(super) struct Readers {
    pub(super) payments: Option<Webhooks>,
    pub(super) shipments: Option<ShipmentWebhooks>,
}

struct Api<W> {
    webhooks: W,
    reports: Late,
    clock: SharedClock,
}

/// The routes for the events of providers; `None` if no secret is set.
pub(super) fn routes(readers: Readers, reports: &Late, clock: &SharedClock) -> Option<Router> {
    let Readers { payments, shipments } = readers;
    let payments = payments.map(|webhooks| payments::routes(Api::new(webhooks, reports, clock)));
    let shipments = shipments.map(|webhooks| shipments::routes(Api::new(webhooks, reports, clock)));
    let routes = payments.into_iter().chain(shipments).reduce(Router::merge)?;
    Some(routes.layer(DefaultBodyLimit::max(MAX_BODY)))
}

impl<W> Api<W> {
    fn new(webhooks: W, reports: &Late, clock: &SharedClock) -> Self {
        let (reports, clock) = (Arc::clone(reports), clock.clone());
        Self { webhooks, reports, clock }
    }

    fn reports(&self) -> Result<&Reports, Problem> {
        self.reports.get().ok_or_else(away)
    }
}

/// The signature in this header.
fn signature<'h>(headers: &'h HeaderMap, name: &str) -> Result<&'h str, WebhookError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.ok_or(WebhookError::Malformed)
}

/// The answer to an event that is refused.
fn refused(who: &str, error: WebhookError) -> Response {
    tracing::warn!(%error, "an event of the {who} is refused");
    Problem::new(StatusCode::BAD_REQUEST, "webhook/refused", "The event is refused")
        .detail(error.to_string())
        .into_response()
}

/// The call that reads what an event is about.
fn reading(key: Uuid, since: DateTime<Utc>) -> Call {
    Call { limit: Some(READING), ..Call::new(key, since) }
}

/// What follows if it cannot be read: nothing if the provider does not have it, or else the event is
/// sent again.
fn unread(error: GatewayError) -> Option<Problem> {
    let is_nothing = matches!(error, GatewayError::Invalid { .. });
    tracing::warn!(%error, "what an event is about cannot be read");
    (!is_nothing).then(away)
}

fn away() -> Problem {
    Problem::unavailable("not-ready", "The event cannot be recorded now", RETRY_LATER)
}

impl Reports {
    /// The saga of an order; `None` if the order has none.
    async fn saga(&self, order_id: Uuid) -> Result<Option<Instance>, Problem> {
        let instance = saga::id::of_instance(NAME, &order_id.to_string());
        self.operations.state(instance).await.map_err(|error| {
            tracing::warn!(error = cli_kit::describe(&error), "a saga cannot be read");
            away()
        })
    }

    /// Runs a use case as this part of the system.
    async fn run<U: UseCase>(&self, use_case: U) -> Result<(), Refusal> {
        let caller = Caller::system(Principal::system(PRINCIPAL)?);
        let permit = Permit::of::<U>(&Policy::default(), &caller)?;
        self.commands.run(use_case, permit, Context::new(caller)).await?;
        Ok(())
    }
}

/// Why an event is not recorded.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// The name of this part of the system is not valid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The use case was refused, or failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let error = cli_kit::describe(&refusal);
        tracing::warn!(error, "the event of a provider cannot be recorded");
        away()
    }
}
