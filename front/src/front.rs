//! The front: what it knows, whom it asks, and how it answers one request.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use service_kit::body::read_body;
use service_kit::http::{Allowed, ClientAddress, OwnFormat, layered};
use service_kit::{Problem, docs};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::address::Address;
use crate::api::{Api, Both};
use crate::document::DOCUMENTS;
use crate::known::Known;
use crate::learn::{self, Reports};
use crate::table::Found;
use crate::upstream::{Head, Upstream, UpstreamLimits};
use crate::{failure, graphql, headers};

/// How long APIs took to begin their answers, by API, path and status.
const DURATION: &str = "upstream_request_duration_seconds";
/// The `Retry-After` while the operations of an API are not known, in seconds.
const RETRY_AFTER: u64 = 1;

/// The front. Clones are cheap and share everything.
#[derive(Debug, Clone)]
pub struct Front(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    upstreams: Both<Upstream>,
    known: RwLock<Arc<Known>>,
}

impl Front {
    /// A front for the APIs at these addresses. Their streams end when `drain` is cancelled.
    ///
    /// # Errors
    /// The certificates of the system cannot be used. They are read only for `https`.
    pub fn new(
        addresses: Both<Address>,
        limits: UpstreamLimits,
        drain: &CancellationToken,
    ) -> io::Result<Self> {
        metrics::describe_histogram!(
            DURATION,
            metrics::Unit::Seconds,
            "How long the APIs took to begin their answers, by API, path and status"
        );
        let upstreams = Both {
            command: Upstream::new(addresses.command, limits, drain.clone())?,
            query: Upstream::new(addresses.query, limits, drain.clone())?,
        };
        let known = RwLock::new(Arc::new(Known::nothing()));
        Ok(Self(Arc::new(Shared { upstreams, known })))
    }

    /// Asks both APIs how they describe themselves, until cancelled.
    pub async fn keep_asking(&self, reports: &Reports, stop: CancellationToken) {
        learn::keep(self, reports, stop).await;
    }

    /// The routes of the public port, with all their layers.
    pub fn router(&self, allowed: &Allowed) -> Router {
        let routes = Router::new().route("/", any(handle)).route("/{*path}", any(handle));
        layered(routes.with_state(self.clone()), allowed)
    }

    pub(crate) fn upstream(&self, api: Api) -> &Upstream {
        self.0.upstreams.of(api)
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn learn(&self, known: Known) {
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// Sends a request to an API, and passes on its answer. `route` names the path in metrics.
    pub(crate) async fn relay(
        &self,
        api: Api,
        route: &str,
        mut parts: Parts,
        body: Bytes,
    ) -> Result<Response, Problem> {
        let started = Instant::now();
        let Ok(ClientAddress(client)) = ClientAddress::from_request_parts(&mut parts, &()).await;
        let headers = headers::of_request(&parts, client);
        let target = parts.uri.path_and_query().cloned();
        let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let head = Head { method: parts.method, target, headers };
        let answer = self.upstream(api).send(&head, &body).await;
        let answer = answer.map_err(|failure| failure::problem(&failure, api, &head.method));
        let status = match &answer {
            Ok(answer) => answer.status(),
            Err(problem) => problem.status(),
        };
        metrics::histogram!(
            DURATION,
            "api" => api.name(), "route" => route.to_owned(),
            "status" => status.as_u16().to_string(),
        )
        .record(started.elapsed().as_secs_f64());
        let (parts, body) = answer?.into_parts();
        let mut answer = Response::new(Body::new(body));
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = headers::of_answer(parts.headers);
        // An API's problem passes as it is.
        answer.extensions_mut().insert(OwnFormat);
        Ok(answer)
    }
}

/// Answers a request.
async fn handle(State(front): State<Front>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    if path == graphql::PATH {
        return graphql::answer(&front, request).await;
    }
    let known = front.known();
    if DOCUMENTS.iter().any(|(_, document)| path == *document) {
        return document(&known.documents, &known.missing, &request);
    }
    if path.strip_prefix(docs::PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        let Ok(page) = known.page.clone().oneshot(request).await;
        return Ok(page);
    }
    match known.table.find(request.method(), path, request.headers()) {
        Found::Api(api, route) => {
            let (parts, body) = request.into_parts();
            front.relay(api, route, parts, read_body(body).await?).await
        }
        _ if !known.missing.is_empty() => Err(unknown(&known.missing)),
        Found::OtherMethods(allowed) => Err(not_allowed(&allowed)),
        Found::Nothing => Err(Problem::not_found()),
    }
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
