//! The stack of HTTP layers, from the outside in: context (id, trace, metrics, problems), security
//! headers, CORS, panics, screen, hosts and origins, request deadline, body limit, body deadline.

use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler as _;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    LINK, LOCATION, REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanic;
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};
use tower_http::limit::RequestBodyLimit;
use tower_http::timeout::{RequestBodyDeadline, Timeout};

use super::allowed::{Admit, Allowed};
use super::context::{self, Surround};
use super::deprecation::{DEPRECATION, SUNSET};
use super::origins::Origins;
use super::rate::{RATE_LIMIT, RATE_LIMIT_POLICY};
use super::rates::Rates;
use super::screen::Screen;
use super::step::{Step, Stepped};
use super::version::API_VERSION;
use crate::consistency::{CONSISTENCY_TOKEN, DATA_EPOCH, DATA_LAG, DATA_POSITION, DATA_STALE};
use crate::problem::Problem;

/// The maximum size of a request body, in bytes.
pub const BODY_LIMIT: usize = 64 * 1024;
/// How long a body may take to arrive.
pub const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer may take. It exceeds the longest wait that a client can ask for (10 s).
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// How long browsers may cache a CORS answer.
const CORS_MAX_AGE: Duration = Duration::from_hours(2);

/// The methods that pages of allowed origins may use.
const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Adds the common layers to an API's routes, and answers unknown paths and methods with problems.
/// Call it once, after all routes are added.
pub fn layered(routes: Router, allowed: &Allowed) -> Router {
    let layers = Layers::new(allowed);
    let absent = (async || Problem::not_found()).layer(layers.0.clone());
    let wrong = (async || not_allowed()).layer(layers.0.clone());
    layers.around(routes, ()).fallback(absent).method_not_allowed_fallback(wrong)
}

fn not_allowed() -> Problem {
    Problem::from_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The common layers, as one. The router keeps each layer in a box of its own, and would copy every
/// box within it for each request.
#[derive(Debug, Clone)]
pub struct Layers(Stack);

#[derive(Debug, Clone)]
struct Stack {
    allowed: Arc<Allowed>,
    cors: CorsLayer,
}

/// A service within the common layers, from the outside in.
type Within<S> =
    Stepped<Surround, Stepped<DefaultHeaders, Cors<CatchPanic<Checked<S>, AnswerPanic>>>>;
/// The part of [`Within`] whose panics are answered.
type Checked<S> = Stepped<Screen, Stepped<Admit, Timeout<Limited<S>>>>;
/// The part of [`Within`] that limits the body.
type Limited<S> = RequestBodyDeadline<RequestBodyLimit<Stepped<Whole, S>>>;
type AnswerPanic = fn(Box<dyn Any + Send>) -> Response;

impl Layers {
    /// The layers for servers that these may call.
    pub fn new(allowed: &Allowed) -> Self {
        context::describe();
        let cors = cors(allowed.origins.clone());
        Self(Stack { allowed: Arc::new(allowed.clone()), cors })
    }

    /// Adds the common layers to routes, and within them a layer of their own.
    pub fn around<L>(&self, routes: Router, own: L) -> Router
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        routes.layer((self.0.clone(), own))
    }

    /// Answers requests for unknown paths and methods with problems, and counts them by the address
    /// that they come from. Call it once, with the routes of all calls of [`around`](Self::around).
    pub fn or_absent(&self, routes: Router, rates: &Rates) -> Router {
        let [absent, wrong] = [Problem::not_found, not_allowed].map(|problem| {
            let limits = rates.others().clone();
            let answer = async move |request: Request| limits.counted(&request, problem());
            answer.layer(self.0.clone())
        });
        routes.fallback(absent).method_not_allowed_fallback(wrong)
    }
}

impl<S> Layer<S> for Stack {
    type Service = Within<S>;

    fn layer(&self, inner: S) -> Within<S> {
        let limited = RequestBodyLimit::new(Stepped::new(Whole, inner), BODY_LIMIT);
        let limited = RequestBodyDeadline::new(limited, BODY_DEADLINE);
        let limited =
            Timeout::with_status_code(limited, StatusCode::GATEWAY_TIMEOUT, REQUEST_DEADLINE);
        let checked = Stepped::new(Screen, Stepped::new(Admit(Arc::clone(&self.allowed)), limited));
        let answered = CatchPanic::custom(checked, answer_panic as AnswerPanic);
        Stepped::new(Surround, Stepped::new(DefaultHeaders, self.cors.layer(answered)))
    }
}

/// The step that turns the limited body back into one that every service takes.
#[derive(Debug, Clone, Copy)]
struct Whole;

impl Step for Whole {
    type After = ();

    fn before(&self, _: &mut Request) -> Result<(), Box<Response>> {
        Ok(())
    }
}

/// The step that adds security headers to answers that lack them.
#[derive(Debug, Clone, Copy)]
struct DefaultHeaders;

impl DefaultHeaders {
    const ALL: [(HeaderName, HeaderValue); 4] = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        ),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
}

impl Step for DefaultHeaders {
    type After = ();

    fn before(&self, _: &mut Request) -> Result<(), Box<Response>> {
        Ok(())
    }

    fn after(&self, (): (), mut response: Response) -> Response {
        for (name, value) in Self::ALL {
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    }
}

fn cors(origins: Origins) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| origins.allow(origin)))
        .allow_methods(METHODS)
        .allow_headers([
            ACCEPT,
            API_VERSION,
            AUTHORIZATION,
            CONTENT_TYPE,
            CONSISTENCY_TOKEN,
            IDEMPOTENCY_KEY,
            IF_MATCH,
            IF_NONE_MATCH,
            LAST_EVENT_ID,
            PREFER,
            context::TRACEPARENT,
            context::X_REQUEST_ID,
        ])
        .expose_headers([
            ACCEPT_ENCODING,
            ALLOW,
            API_VERSION,
            CONSISTENCY_TOKEN,
            CONTENT_DISPOSITION,
            DATA_EPOCH,
            DATA_LAG,
            DATA_POSITION,
            DATA_STALE,
            DEPRECATION,
            ETAG,
            IDEMPOTENT_REPLAYED,
            LINK,
            LOCATION,
            PREFERENCE_APPLIED,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            RETRY_AFTER,
            SUNSET,
            WWW_AUTHENTICATE,
            context::TRACEPARENT,
            context::X_REQUEST_ID,
        ])
        .max_age(CORS_MAX_AGE)
}

// CatchPanicLayer dictates the signature.
#[allow(clippy::needless_pass_by_value, reason = "the layer passes the panic's payload by value")]
fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = message.unwrap_or("without a message"), "a handler panicked");
    Problem::internal().into_response()
}
