//! The routes of the public port: whose each request is.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use service_kit::body::read_body;
use service_kit::http::{Allowed, layered};
use service_kit::{Problem, docs};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::api::Api;
use crate::document::DOCUMENTS;
use crate::front::Front;
use crate::graphql;
use crate::table::Found;

/// The `Retry-After` while the operations of an API are not known, in seconds.
const RETRY_AFTER: u64 = 1;

/// The routes of the public port, with all their layers.
pub fn router(front: Front, allowed: &Allowed) -> Router {
    let routes = Router::new().route("/", any(handle)).route("/{*path}", any(handle));
    layered(routes.with_state(front), allowed)
}

/// Answers a request.
async fn handle(State(front): State<Front>, request: Request) -> Result<Response, Problem> {
    let came = Instant::now();
    let path = request.uri().path();
    if path == graphql::PATH {
        return graphql::answer(&front, request, came).await;
    }
    let known = front.known();
    if DOCUMENTS.iter().any(|(_, document)| path == *document) {
        return document(&known.documents, &known.missing, &request);
    }
    if path.strip_prefix(docs::PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let Ok(page) = known.page.clone().oneshot(plain(request)).await;
        return Ok(page);
    }
    match known.table.find(request.method(), path, request.headers()) {
        Found::Api(api, route) => {
            let (parts, body) = request.into_parts();
            front.relay(api, route, (parts, read_body(body).await?), came).await
        }
        _ if !known.missing.is_empty() => Err(unknown(&known.missing)),
        Found::OtherMethods(allowed) => Err(not_allowed(&allowed)),
        Found::Nothing => Err(Problem::not_found()),
    }
}

/// The request without what the router found out about it: a router that it is handed to would take
/// the parameters of this path for those of its own.
fn plain(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let mut plain = Request::new(body);
    *plain.method_mut() = parts.method;
    *plain.uri_mut() = parts.uri;
    *plain.headers_mut() = parts.headers;
    plain
}

/// The OpenAPI document of both APIs at this path.
fn document(
    documents: &BTreeMap<&'static str, Bytes>,
    missing: &[Api],
    request: &Request,
) -> Result<Response, Problem> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(not_allowed("GET, HEAD"));
    }
    // Half of a document would be taken for the whole.
    match documents.get(request.uri().path()) {
        _ if !missing.is_empty() => Err(unknown(missing)),
        Some(document) => {
            Ok(([(CONTENT_TYPE, "application/json")], document.clone()).into_response())
        }
        None => Err(Problem::not_found()),
    }
}

fn unknown(missing: &[Api]) -> Problem {
    let missing = missing.iter().map(|api| api.title()).collect::<Vec<_>>().join(" and ");
    let title = "The operations of an API are not known yet";
    Problem::unavailable("api/unknown", title, RETRY_AFTER)
        .detail(format!("{missing} cannot be reached"))
}

fn not_allowed(methods: &str) -> Problem {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This method does not go with this path",
    );
    match HeaderValue::from_str(methods) {
        Ok(methods) => problem.header(ALLOW, methods),
        Err(_) => problem,
    }
}
