//! The stack of HTTP layers, from the outside in: context (id, trace, metrics, problems), security
//! headers, CORS, panics, screen, hosts and origins, request deadline, body limit, body deadline.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyDeadlineLayer, TimeoutLayer};

use super::allowed::{Allowed, admit};
use super::context;
use super::deprecation::{DEPRECATION, SUNSET};
use super::origins::Origins;
use super::rate::{RATE_LIMIT, RATE_LIMIT_POLICY};
use super::rates::Rates;
use super::screen::screen;
use super::version::API_VERSION;
use crate::consistency::CONSISTENCY_TOKEN;
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
    let routes = routes.fallback(async || Problem::not_found());
    stacked(routes.method_not_allowed_fallback(async || not_allowed()), allowed)
}

/// Does the same as [`layered`], and counts requests for unknown paths and methods by the address
/// that they come from.
pub fn layered_at_rates(routes: Router, allowed: &Allowed, rates: &Rates) -> Router {
    let [absent, wrong] = [Problem::not_found, not_allowed].map(|problem| {
        let limits = rates.others().clone();
        async move |request: Request| limits.counted(&request, problem())
    });
    stacked(routes.fallback(absent).method_not_allowed_fallback(wrong), allowed)
}

fn not_allowed() -> Problem {
    Problem::from_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// The stack as one layer: the router keeps each layer in a box of its own, and would copy every
/// box within it for each request.
fn stacked(routes: Router, allowed: &Allowed) -> Router {
    context::describe();
    let layers = ServiceBuilder::new()
        .layer(from_fn(context::surround))
        .layer(default_header(CACHE_CONTROL, "no-store"))
        .layer(default_header(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .layer(default_header(REFERRER_POLICY, "no-referrer"))
        .layer(default_header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(cors(allowed.origins.clone()))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn(screen))
        .layer(from_fn_with_state(Arc::new(allowed.clone()), admit))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_DEADLINE))
        .layer(RequestBodyDeadlineLayer::new(BODY_DEADLINE))
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT));
    routes.layer(layers)
}

fn default_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
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
