//! The front: what it knows, whom it asks, and how it passes a request on.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts as _;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use service_kit::Problem;
use service_kit::http::{ClientAddress, KeptConnection, OwnFormat};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::api::{Api, Both};
use crate::known::Known;
use crate::relayed::Relayed;
use crate::upstream::{Head, Switched, Upstream, UpstreamLimits};
use crate::{failure, headers, socket};

/// How long APIs took to begin their answers, by API, path and status.
const DURATION: &str = "upstream_request_duration_seconds";

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
        parts: Parts,
        body: Bytes,
    ) -> Result<Response, Problem> {
        let (started, head) = (Instant::now(), head(parts).await);
        let answer = self.upstream(api).send(&head, &body).await;
        let answer = answer.map_err(|failure| failure::problem(&failure, api, &head.method));
        note(started, (api, route), answer.as_ref().map(Response::status));
        Ok(passed_on(answer?))
    }

    /// Asks the query API for a web socket. If it agrees, what both sides send is passed on from
    /// now on, until one of them ends it or the process drains.
    pub(crate) async fn relay_socket(
        &self,
        route: &str,
        mut parts: Parts,
    ) -> Result<Response, Problem> {
        let started = Instant::now();
        let (client, connection) = (socket::of(&mut parts)?, KeptConnection::take(&mut parts));
        let head = socket::asking(head(parts).await);
        let upstream = self.upstream(Api::Query);
        let answer = upstream.switch(&head).await;
        let answer = answer.map_err(|failure| failure::problem(&failure, Api::Query, &head.method));
        note(started, (Api::Query, route), answer.as_ref().map(Switched::status));
        match answer? {
            Switched::No(answer) => Ok(passed_on(answer)),
            Switched::Yes(mut answer, place) => {
                let api = hyper::upgrade::on(&mut answer);
                socket::join(client, api, upstream.drain(), (place, connection));
                Ok(socket::agreed(headers::of_answer(answer.into_parts().0.headers)))
            }
        }
    }
}

/// What an API gets of a request, apart from its body.
async fn head(mut parts: Parts) -> Head {
    let Ok(ClientAddress(client)) = ClientAddress::from_request_parts(&mut parts, &()).await;
    let headers = headers::of_request(&parts, client);
    let target = parts.uri.path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Head { method: parts.method, target, headers }
}

/// Records how long an API took to begin its answer.
fn note(started: Instant, (api, route): (Api, &str), answer: Result<StatusCode, &Problem>) {
    let status = answer.unwrap_or_else(Problem::status);
    metrics::histogram!(
        DURATION,
        "api" => api.name(), "route" => route.to_owned(), "status" => status.as_u16().to_string(),
    )
    .record(started.elapsed().as_secs_f64());
}

/// An API's answer, as the client gets it.
fn passed_on(answer: Response<Relayed>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut answer = Response::new(Body::new(body));
    *answer.status_mut() = parts.status;
    *answer.headers_mut() = headers::of_answer(parts.headers);
    // An API's problem passes as it is.
    answer.extensions_mut().insert(OwnFormat);
    answer
}
