//! The HTTP API, and the state behind it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State as Extracted};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use service_kit::clock::{self, SharedClock};
use tokio::sync::Notify;

use crate::fault::{Faults, Next};
use crate::form::Form;
use crate::simulation::ask::{Asked, Given, Operation};
use crate::simulation::control;
use crate::simulation::hooks::HookSettings;
use crate::simulation::journal::{Journal, JournalError};
use crate::simulation::state::{Counts, Entry, Saved, State};
use crate::simulation::{payments, shipments};

/// The maximum length of a request's body, in bytes.
const MAX_BODY: usize = 64 * 1024;
/// What every secret key begins with, as at Stripe for tests.
const TEST_KEY: &str = "Bearer sk_test_";

/// The settings of a sandbox.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file that keeps the state. It is created if it is not there.
    pub state: PathBuf,
    /// The seed of faults at random.
    pub seed: u64,
    /// Its faults, until a request to `/_faults` sets others.
    pub faults: Faults,
    /// Where events are sent; `None` sends none.
    pub hooks: Option<HookSettings>,
}

/// A sandbox. Clones share it.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seed: u64,
    hooks: Option<HookSettings>,
    clock: SharedClock,
    world: Mutex<World>,
    news: Notify,
}

/// All that changes while it runs: the state, keys in flight and faults.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: State,
    journal: Journal,
    pub(crate) in_flight: HashSet<String>,
    pub(crate) faults: Faults,
    pub(crate) script: Vec<Next>,
    /// The number of requests without a key.
    pub(crate) without_key: u64,
}

impl World {
    /// Writes an entry, and folds it.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<(), JournalError> {
        self.journal.append(entry)?;
        self.state.apply(entry);
        Ok(())
    }
}

impl Sandbox {
    /// Opens the state.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(settings: Settings) -> Result<Self, JournalError> {
        let Settings { state, seed, faults, hooks } = settings;
        let (journal, state) = Journal::open(&state)?;
        let (in_flight, script) = (HashSet::new(), Vec::new());
        let world = World { state, journal, in_flight, faults, script, without_key: 0 };
        let (clock, world, news) = (clock::system(), Mutex::new(world), Notify::new());
        Ok(Self(Arc::new(Inner { seed, hooks, clock, world, news })))
    }

    /// The routes of the payments, the shipments and the control of the sandbox.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/v1/payment_intents", get(list_payments).post(authorise))
            .route("/v1/payment_intents/{id}", get(read_payment))
            .route("/v1/payment_intents/{id}/capture", post(capture))
            .route("/v1/payment_intents/{id}/cancel", post(release))
            .route("/v1/refunds", get(list_refunds).post(refund))
            .route("/shipping/v1/shipments", get(find_shipment).post(ship))
            .route("/shipping/v1/shipments/{id}", get(read_shipment))
            .route("/shipping/v1/shipments/{id}/cancel", post(cancel_shipment))
            .merge(control::routes())
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self.clone())
    }

    /// What took effect, by key and by order.
    pub fn counts(&self) -> Counts {
        self.world().state.counts()
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.0.clock.now()
    }

    pub(crate) fn hooks(&self) -> Option<&HookSettings> {
        self.0.hooks.as_ref()
    }

    /// Wakes what delivers events.
    pub(crate) fn news(&self) {
        self.0.news.notify_one();
    }

    /// Waits until there may be an event to deliver.
    pub(crate) async fn some_news(&self) {
        self.0.news.notified().await;
    }

    /// Answers a request that changes something.
    async fn change(&self, operation: Operation, headers: &HeaderMap, body: Bytes) -> Response {
        let is_payment = !matches!(operation, Operation::Ship | Operation::CancelShipment(_));
        if is_payment && let Some(refused) = refused(headers) {
            return whole(refused);
        }
        let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
        let asked = Asked { operation, key: key.map(ToOwned::to_owned), body: body.to_vec() };
        self.answer(asked).await
    }

    /// Answers a request that reads.
    async fn read(&self, read: impl FnOnce(&State) -> Saved + Send) -> Response {
        let saved = read(&self.world().state);
        if saved.status != 200 {
            return whole(saved);
        }
        let body = saved.body.into_bytes();
        self.answer(Asked { operation: Operation::Read, key: None, body }).await
    }

    async fn answer(&self, asked: Asked) -> Response {
        match self.ask(asked).await {
            Ok(Given::Whole(saved)) => whole(saved),
            Ok(Given::Again(saved)) => {
                ([("idempotent-replayed", "true")], whole(saved)).into_response()
            }
            Ok(Given::Later(saved)) => ([(RETRY_AFTER, "1")], whole(saved)).into_response(),
            Ok(Given::Cut(saved)) => cut(saved),
            Err(error) => {
                tracing::error!(error = cli_kit::describe(&error), "the state cannot be written");
                StatusCode::INSUFFICIENT_STORAGE.into_response()
            }
        }
    }
}

/// Why a request to the payments is refused, unless it has a secret key of tests.
fn refused(headers: &HeaderMap) -> Option<Saved> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_known = given.is_some_and(|value| value.starts_with(TEST_KEY));
    let message = "Invalid API Key provided.";
    (!is_known).then(|| payments::refusal(401, "invalid_request_error", "api_key", message))
}

fn whole(saved: Saved) -> Response {
    let status = StatusCode::from_u16(saved.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(CONTENT_TYPE, "application/json")], saved.body).into_response()
}

/// Half an answer, after which the connection breaks.
fn cut(saved: Saved) -> Response {
    let mut half = saved.body.into_bytes();
    half.truncate(half.len() / 2);
    let broken = Err(std::io::Error::other("cut, as it was asked for"));
    let body = futures::stream::iter([Ok(Bytes::from(half)), broken]);
    ([(CONTENT_TYPE, "application/json")], Body::from_stream(body)).into_response()
}

type Here = Extracted<Sandbox>;

async fn authorise(Extracted(here): Here, headers: HeaderMap, body: Bytes) -> Response {
    here.change(Operation::Authorise, &headers, body).await
}

async fn capture(
    Extracted(here): Here,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    here.change(Operation::Capture(id), &headers, body).await
}

async fn release(
    Extracted(here): Here,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    here.change(Operation::Release(id), &headers, body).await
}

async fn refund(Extracted(here): Here, headers: HeaderMap, body: Bytes) -> Response {
    here.change(Operation::Refund, &headers, body).await
}

async fn ship(Extracted(here): Here, headers: HeaderMap, body: Bytes) -> Response {
    here.change(Operation::Ship, &headers, body).await
}

async fn cancel_shipment(
    Extracted(here): Here,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    here.change(Operation::CancelShipment(id), &headers, body).await
}

async fn read_payment(
    Extracted(here): Here,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match refused(&headers) {
        Some(refused) => whole(refused),
        None => here.read(|state| payments::read(state, &id)).await,
    }
}

async fn list_payments(Extracted(here): Here, query: RawQuery, headers: HeaderMap) -> Response {
    match refused(&headers) {
        Some(refused) => whole(refused),
        None => here.read(|state| payments::list(state, &form(query))).await,
    }
}

async fn list_refunds(Extracted(here): Here, query: RawQuery, headers: HeaderMap) -> Response {
    match refused(&headers) {
        Some(refused) => whole(refused),
        None => here.read(|state| payments::list_refunds(state, &form(query))).await,
    }
}

async fn read_shipment(Extracted(here): Here, Path(id): Path<String>) -> Response {
    here.read(|state| shipments::read(state, &id)).await
}

async fn find_shipment(Extracted(here): Here, query: RawQuery) -> Response {
    let query = form(query);
    let key = query.text("key").unwrap_or_default();
    here.read(|state| shipments::read_by_key(state, key)).await
}

fn form(RawQuery(query): RawQuery) -> Form {
    Form::parse(query.unwrap_or_default().as_bytes())
}
