//! The context of each request: its id, trace, span and metrics. On the way out, every error answer
//! becomes a problem that names the request.
//!
//! `traceparent` is read here: the propagator of OpenTelemetry comes with its SDK and an exporter,
//! and a trace id to pass on needs neither.

use std::convert::Infallible;
use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tracing::Span;
use uuid::Uuid;

use super::step::Step;
use crate::problem::Problem;
use crate::shed;

/// The header that carries the request id.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that carries a W3C trace context.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The maximum length of a client's request id; a longer one is replaced.
const MAX_REQUEST_ID_CHARS: usize = 128;
/// The maximum number of log lines per error code and window. During an outage every answer is an
/// error.
const MAX_LINES: u32 = 10;

static LINES: shed::LogLimit = shed::LogLimit::new(shed::LINE_EVERY);

/// An extractor for the request id: the client's `X-Request-Id` if it is well-formed, or a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// An extractor for the W3C trace context: the client's trace id with a span id of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(pub String);

/// Marks an error answer whose body has a format of its own, such as GraphQL's. It is stored in the
/// answer's extensions. Other error answers become problems.
#[derive(Debug, Clone, Copy)]
pub struct OwnFormat;

impl RequestId {
    fn of(request: &Request) -> Self {
        let given = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let well_formed = |id: &&str| {
            !id.is_empty()
                && id.len() <= MAX_REQUEST_ID_CHARS
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        };
        Self(
            given.filter(well_formed).map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned),
        )
    }
}

impl TraceParent {
    /// Continues the client's trace, or starts one.
    fn of(request: &Request) -> Self {
        let given = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let (trace, flags) = given
            .and_then(split)
            .unwrap_or_else(|| (Uuid::new_v4().simple().to_string(), "01".to_owned()));
        let span = format!("{:016x}", rand::random_range(1..=u64::MAX));
        Self(format!("00-{trace}-{span}-{flags}"))
    }

    /// The trace id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

/// Parses the trace id and the flags from a well-formed `traceparent`.
fn split(text: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags, ..] = parts.as_slice() else { return None };
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let known = *version != "ff" && (*version != "00" || parts.len() == 4);
    let fits = hex(version, 2)
        && hex(trace, 32)
        && hex(parent, 16)
        && hex(flags, 2)
        && !zero(trace)
        && !zero(parent);
    (known && fits).then(|| ((*trace).to_owned(), (*flags).to_owned()))
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self(Uuid::now_v7().to_string())))
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for TraceParent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

/// The outermost step: gives each request its context.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surround;

/// What the answer to a request needs of it.
pub(super) struct Surrounded {
    started: Instant,
    id: RequestId,
    trace: TraceParent,
    path: String,
    method: Method,
    route: String,
    span: Span,
    active: ActiveRequest,
}

impl Step for Surround {
    type After = Surrounded;

    fn before(&self, request: &mut Request) -> Result<Surrounded, Box<Response>> {
        let started = Instant::now();
        let (id, trace) = (RequestId::of(request), TraceParent::of(request));
        let path = super::version::path_as_sent(request).to_owned();
        let method = request.method().clone();
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(trace.clone());
        let span = tracing::info_span!(
            "http.request", "http.request.method" = %method, "http.route" = route,
            request_id = id.0, trace_id = trace.trace_id(),
        );
        let active = ActiveRequest::begin();
        Ok(Surrounded { started, id, trace, path, method, route, span, active })
    }

    fn span(surrounded: &Surrounded) -> Span {
        surrounded.span.clone()
    }

    fn after(&self, surrounded: Surrounded, response: Response) -> Response {
        let Surrounded { started, id, trace, path, method, route, span, active } = surrounded;
        drop(active);
        let mut response = name_problem(response, &id, &path);
        for (name, text) in [(X_REQUEST_ID, &id.0), (TRACEPARENT, &trace.0)] {
            if let Ok(value) = HeaderValue::from_str(text) {
                response.headers_mut().insert(name, value);
            }
        }
        let elapsed = started.elapsed();
        let status = response.status();
        span.in_scope(|| {
            tracing::debug!(
                status = status.as_u16(),
                duration_ms = elapsed.as_secs_f64() * 1000.0,
                "answered"
            );
            if status.is_server_error() {
                tell(response.extensions().get::<Problem>(), status);
            }
        });
        metrics::histogram!(
            "http_server_request_duration_seconds",
            "method" => method_label(&method), "route" => route,
                "status" => status.as_u16().to_string(),
        )
        .record(elapsed.as_secs_f64());
        response
    }
}

/// Counts or logs a server error, at a limited rate.
fn tell(problem: Option<&Problem>, status: StatusCode) {
    let code = problem.map_or("none", Problem::code);
    if problem.is_some_and(Problem::is_shed) {
        return shed::count(code);
    }
    if let Some(unlogged) = LINES.admit(code, MAX_LINES) {
        tracing::warn!(status = status.as_u16(), code, unlogged, "answered with an error");
    }
}

/// Describes the metrics of this layer.
pub(super) fn describe() {
    metrics::describe_histogram!(
        "http_server_request_duration_seconds",
        metrics::Unit::Seconds,
        "Duration of requests, by method, route and status"
    );
    metrics::describe_gauge!("http_server_active_requests", "Requests in progress");
    shed::describe();
}

/// Only known methods become labels: invented ones would use up memory.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

/// Turns every error answer, even one from a library, into a problem that names the request.
fn name_problem(mut response: Response, id: &RequestId, path: &str) -> Response {
    let status = response.status();
    let known = response.extensions_mut().remove::<Problem>();
    if response.extensions().get::<OwnFormat>().is_some() {
        return response;
    }
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = known.unwrap_or_else(|| Problem::from_status(status)).of_request(&id.0, path);
    let named = problem.clone().into_response();
    let mut headers = response.headers().clone();
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_TYPE);
    let (mut parts, body) = named.into_parts();
    headers.extend(std::mem::take(&mut parts.headers));
    parts.headers = headers;
    Response::from_parts(parts, body)
}

/// Counts an active request until it is dropped, even if the client disconnects.
struct ActiveRequest;

impl ActiveRequest {
    fn begin() -> Self {
        metrics::gauge!("http_server_active_requests").increment(1.0);
        Self
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        metrics::gauge!("http_server_active_requests").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_gone_on_with() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            split(&format!("00-{trace}-00f067aa0ba902b7-01")),
            Some((trace.to_owned(), "01".to_owned()))
        );
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }
}
