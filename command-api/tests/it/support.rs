//! A shop for sending requests, and a store that can stop in the middle of an append.

pub(crate) mod tokens;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use access::Policy;
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, Utc};
use command_api::application::command::MAX_COMMANDS;
use command_api::application::repository::{Departures, Leave, LeaveError, Repository};
use command_api::application::use_case::EmailReservations;
use command_api::application::{Application, Commands, Environment};
use command_api::auth::Identity;
use command_api::http::{Api, ApiParts, rates, router, versions};
use event_store::stream::Version;
use event_store::test_kit::Interfering;
use event_store::{
    Append, AppendOutcome, EventStore, Filter, MemoryStore, Position, RecordedEvent, Refusal,
    Registry, ReservationKey, StoreError, StreamName, UpcastingLog,
};
use graphql_kit::Introspection;
use http_body_util::BodyExt;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Gate, Revocations, Verifier};
use local_servers::in_time;
use serde_json::{Value, json};
use service_kit::clock::FixedClock;
use service_kit::consistency::{ConsistencyToken, TokenKey};
use service_kit::http::{Allowed, Deprecation, Origins};
use tokio::sync::{RwLock, RwLockWriteGuard, Semaphore, mpsc};
use tower::ServiceExt;
use uuid::Uuid;

pub(crate) const QUERY_URL: &str = "https://shop.example.com";
pub(crate) const NOW: &str = "2026-01-05T12:00:00Z";

pub(crate) fn now() -> DateTime<Utc> {
    NOW.parse().unwrap()
}

/// The command API over a store.
#[derive(Clone)]
pub(crate) struct Shop {
    router: Router,
    pub(crate) store: Arc<dyn EventStore>,
    commands: Arc<Commands>,
    /// The application without HTTP.
    pub(crate) application: Application,
    /// What is revoked.
    pub(crate) revocations: Revocations,
    departures: LateIdentity,
}

/// Identity, which is made after the commands.
#[derive(Clone, Default)]
struct LateIdentity(Arc<OnceLock<Identity>>);

#[async_trait]
impl Departures for LateIdentity {
    async fn let_leave(&self, users: &[Uuid]) -> Result<Leave, LeaveError> {
        match self.0.get() {
            Some(identity) => identity.let_leave(users).await,
            None => Ok(Box::new(())),
        }
    }

    fn departed(&self, user_id: Uuid) {
        if let Some(identity) = self.0.get() {
            identity.departed(user_id);
        }
    }
}

fn environment(order_import: bool) -> Environment {
    Environment {
        reservations: EmailReservations::new(Arc::new(ReservationKey::new(vec![7; 32]))),
        clock: FixedClock::at(now()),
        order_import,
    }
}

fn api(application: Application, revocations: Revocations, options: ShopOptions) -> ApiParts {
    let issuer = tokens::issuer();
    let verifier = Verifier::new(ISSUER, AUDIENCE, issuer.keys().published());
    ApiParts {
        application,
        tokens: Arc::new(token_key()),
        issuer: Arc::new(issuer),
        gate: Gate::new(Arc::new(verifier), revocations),
        introspection: Introspection::Enabled,
        rates: rates(&options.rates.parse().unwrap()).unwrap(),
        versions: versions(options.is_deprecated.then(deprecation).as_ref()),
        public_query_url: QUERY_URL.into(),
        clock: FixedClock::at(now()),
        identity: None,
    }
}

/// The deprecation of version 1.
fn deprecation() -> Deprecation {
    Deprecation {
        since: "2026-01-01T00:00:00Z".parse().unwrap(),
        sunset: Some("2027-01-01T00:00:00Z".parse().unwrap()),
        migration: Some("https://shop.example.com/v2".to_owned()),
        successor: "/openapi/v2.json",
    }
}

/// The options in which a shop can differ from the default.
#[derive(Clone, Copy)]
pub(crate) struct ShopOptions {
    pub(crate) order_import: bool,
    pub(crate) wait_for_repeats: Duration,
    pub(crate) commands_at_once: usize,
    /// The setting RATE_LIMITS.
    pub(crate) rates: &'static str,
    /// Whether version 1 is deprecated.
    pub(crate) is_deprecated: bool,
}

impl Default for ShopOptions {
    fn default() -> Self {
        Self {
            order_import: true,
            wait_for_repeats: Duration::from_secs(10),
            commands_at_once: MAX_COMMANDS,
            rates: "off",
            is_deprecated: false,
        }
    }
}

fn allowed(origins: &str) -> Allowed {
    origins.parse::<Origins>().unwrap().into()
}

pub(crate) fn token_key() -> TokenKey {
    TokenKey::from_secret(&"A".repeat(44).into()).unwrap()
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), ShopOptions::default())
    }

    pub(crate) fn over(store: Arc<dyn EventStore>, options: ShopOptions) -> Self {
        Self::reading_through(
            command_api::application::repository::registry().unwrap(),
            store,
            options,
        )
    }

    /// A shop whose log was written by programs with another history.
    pub(crate) fn reading_through(
        registry: Registry,
        store: Arc<dyn EventStore>,
        options: ShopOptions,
    ) -> Self {
        let clock = FixedClock::at(now());
        let log = UpcastingLog::new(Arc::clone(&store), Arc::new(registry));
        let departures = LateIdentity::default();
        let repository = Repository::new(log).asking(Arc::new(departures.clone()));
        let commands = Commands::new(repository, clock.clone())
            .waiting_for_repeats(options.wait_for_repeats)
            .at_once(options.commands_at_once);
        let commands = Arc::new(commands);
        let application = Application {
            commands: Arc::new(OnceLock::from(Arc::clone(&commands))),
            environment: environment(options.order_import),
            policy: Arc::new(Policy::default()),
        };
        let revocations = Revocations::default();
        let api = Api::from(api(application.clone(), revocations.clone(), options));
        let graphql = command_api::graphql::routes(&api);
        let router = router(&api, &allowed("https://app.example.com"), graphql);
        Self { router, store, commands, application, revocations, departures }
    }

    /// The same shop with log-ins.
    pub(crate) fn with_identity(self, identity: Identity) -> Self {
        let options = ShopOptions::default();
        let api = api(self.application.clone(), self.revocations.clone(), options);
        self.departures.0.get_or_init(|| identity.clone());
        let api = Api::from(ApiParts { identity: Some(identity), ..api });
        let graphql = command_api::graphql::routes(&api);
        Self { router: router(&api, &allowed("https://app.example.com"), graphql), ..self }
    }

    /// A shop that has not connected to its store yet.
    pub(crate) fn starting() -> Router {
        let application = Application {
            commands: Arc::new(OnceLock::new()),
            environment: environment(false),
            policy: Arc::new(Policy::default()),
        };
        let api = api(application, Revocations::default(), ShopOptions::default());
        let api = Api::from(api);
        let graphql = command_api::graphql::routes(&api);
        router(&api, &allowed(""), graphql)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        send(self.router.clone(), request).await
    }

    /// The status of the answer, whose body may be anything.
    pub(crate) async fn status(&self, request: Request<Body>) -> u16 {
        self.router.clone().oneshot(tokens::signed(request)).await.unwrap().status().as_u16()
    }

    /// The body of the answer, byte for byte.
    pub(crate) async fn bytes(&self, path: &str) -> Bytes {
        let request = Request::get(path).body(Body::empty()).unwrap();
        self.router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(json_request("POST", path, &body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(json_request("PUT", path, &body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(json_request("PATCH", path, &body)).await
    }

    pub(crate) async fn act(&self, path: &str) -> Reply {
        self.send(Request::post(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Request::delete(path).body(Body::empty()).unwrap()).await
    }

    /// Waits for the commands in flight.
    pub(crate) async fn drain(&self) {
        self.commands.drain().await;
    }

    pub(crate) async fn user(&self, email: &str) -> String {
        self.post("/api/v1/users", json!({"email": email, "name": "Ada"})).await.made()
    }

    /// Adds an address to a user.
    pub(crate) async fn address(&self, user: &str) -> String {
        let reply = self.post(&format!("/api/v1/users/{user}/addresses"), address()).await;
        reply.made();
        reply.body["data"]["address_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn product(&self, unit_price: &str) -> String {
        let body = json!({"name": "cd", "unit_price": unit_price, "currency": "USD", "stock": 10});
        self.post("/api/v1/products", body).await.made()
    }

    pub(crate) async fn order(&self, user: &str, product: &str) -> String {
        let body = json!({"user_id": user, "lines": [{"product_id": product, "quantity": 2}]});
        self.post("/api/v1/orders", body).await.made()
    }

    /// The whole log: the type and payload of each event.
    pub(crate) async fn log(&self) -> Vec<(String, Value)> {
        let events = self.store.read(&Filter::All, Position::START, 10_000).await.unwrap();
        events.iter().map(|event| (event.event_type.to_string(), event.decode().unwrap())).collect()
    }

    pub(crate) async fn types(&self) -> Vec<String> {
        self.log().await.into_iter().map(|(event_type, _)| event_type).collect()
    }
}

/// An address as a client writes it.
pub(crate) fn address() -> Value {
    json!({"label": "at home", "recipient": "Ada", "street": "Ring 1", "city": "Wien",
        "postal_code": "1010", "country": "AT", "region": "9"})
}

pub(crate) async fn send(router: Router, request: Request<Body>) -> Reply {
    let response = router.oneshot(tokens::signed(request)).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Reply { status, headers, body }
}

pub(crate) fn json_request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let builder =
        Request::builder().method(method).uri(path).header("content-type", "application/json");
    builder.body(Body::from(body.to_string())).unwrap()
}

/// Adds a header to a request.
pub(crate) trait With {
    fn with(self, name: &'static str, value: &str) -> Self;
}

impl With for Request<Body> {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers_mut().append(name, value.parse().unwrap());
        self
    }
}

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of the created resource.
    #[track_caller]
    pub(crate) fn made(&self) -> String {
        assert_eq!(self.status, 201, "{:#}", self.body);
        self.body["data"]["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> &Value {
        assert_eq!(self.status, 200, "{:#}", self.body);
        &self.body["data"]
    }

    /// Asserts that this is a problem with this status and code, in the right form.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("/problems/{code}"));
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
        assert!(self.body["instance"].is_string() && self.body["title"].is_string());
    }

    /// Asserts that the content is invalid at exactly these places.
    #[track_caller]
    pub(crate) fn wrong(&self, expected: &[(&str, &str)]) {
        self.problem(422, "invalid-content");
        let errors = self.body["errors"].as_array().unwrap();
        let found: Vec<_> = errors
            .iter()
            .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
            .collect();
        assert_eq!(found, expected, "{:#}", self.body);
    }

    pub(crate) fn token(&self) -> ConsistencyToken {
        ConsistencyToken::verify(self.header("consistency-token"), &token_key()).unwrap()
    }
}

/// The action of a [`Stage`] on an append.
pub(crate) enum Cue {
    /// Makes the append.
    GoOn,
    /// Answers with an error instead.
    Fail(StoreError),
    /// Makes the append, but loses the answer.
    LoseAnswer,
    /// Refuses the append instead.
    Refuse(Refusal),
}

/// The appends that reach a [`Stage`].
pub(crate) struct Arrivals(mpsc::UnboundedReceiver<()>);

impl Arrivals {
    /// Waits for the next append.
    pub(crate) async fn next(&mut self) {
        in_time("an append that reaches the store", self.0.recv()).await.unwrap();
    }

    /// The number of appends that have arrived and were not yet taken by `next` or `count`.
    pub(crate) fn count(&mut self) -> u32 {
        std::iter::from_fn(|| self.0.try_recv().ok()).map(|()| 1).sum()
    }
}

/// A store whose appends wait for their cues, if cues are set.
pub(crate) struct Stage {
    inner: MemoryStore,
    cues: Mutex<VecDeque<Cue>>,
    go: Semaphore,
    reached: mpsc::UnboundedSender<()>,
    reads: AtomicU64,
    reading: RwLock<()>,
}

impl Stage {
    /// A stage, and a receiver that reports each append that reaches it.
    pub(crate) fn new() -> (Arc<Self>, Arrivals) {
        let (reached, arrivals) = mpsc::unbounded_channel();
        let stage = Self {
            inner: MemoryStore::new(),
            cues: Mutex::default(),
            go: Semaphore::new(0),
            reached,
            reads: AtomicU64::new(0),
            reading: RwLock::default(),
        };
        (Arc::new(stage), Arrivals(arrivals))
    }

    /// Makes the next append wait for [`Stage::go`] and then do this.
    pub(crate) fn cue(&self, cue: Cue) {
        self.cues.lock().unwrap().push_back(cue);
    }

    pub(crate) fn go(&self) {
        self.go.add_permits(1);
    }

    /// Blocks all reads of streams until the returned guard is dropped.
    pub(crate) async fn hold_reads(&self) -> RwLockWriteGuard<'_, ()> {
        self.reading.write().await
    }

    /// The number of reads of streams.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Interfering for Stage {
    fn inner(&self) -> &MemoryStore {
        &self.inner
    }

    async fn on_append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        let cue = self.cues.lock().unwrap().pop_front();
        let Some(cue) = cue else { return self.inner.append(append).await };
        self.reached.send(()).ok();
        self.go.acquire().await.unwrap().forget();
        match cue {
            Cue::GoOn => self.inner.append(append).await,
            Cue::Fail(error) => Err(error),
            Cue::Refuse(refusal) => Ok(AppendOutcome::Refused(refusal)),
            Cue::LoseAnswer => {
                self.inner.append(append).await.and(Err(StoreError::OutcomeUnknown(None)))
            }
        }
    }

    async fn on_read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let read = self.inner.read_stream(stream, after, limit).await;
        let _shown = self.reading.read().await;
        read
    }
}
