//! Refuses what web pages of other sites send: requests under a name that is not the server's, and
//! requests of other origins that may change something or open a web socket.
//!
//! CORS alone is not enough. It keeps a page from reading an answer, but a "simple" POST is carried
//! out all the same.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::hosts::Hosts;
use super::origins::Origins;
use super::step::Step;
use super::upgrade::asks_for_web_socket;
use crate::problem::Problem;

/// What a server may be called by, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The names of the server.
    pub hosts: Hosts,
    /// The origins of web pages that may call it.
    pub origins: Origins,
}

impl From<Origins> for Allowed {
    fn from(origins: Origins) -> Self {
        Self { hosts: Hosts::default(), origins }
    }
}

impl Allowed {
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let headers = request.headers();
        let hosts = headers.get_all(HOST).iter().map(|host| Authority::try_from(host.as_bytes()));
        // The target names the host, too, if it is a whole URL.
        let target = request.uri().authority().cloned().map(Ok);
        // A host that cannot be read is not a name of the server.
        let is_allowed = |named: Result<Authority, _>| named.is_ok_and(|it| self.hosts.allow(&it));
        if !hosts.chain(target).all(is_allowed) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host-not-allowed",
                "The server is not called by this name",
            )
            .detail("the operator lists the names in ALLOWED_HOSTS"));
        }
        let may_call = |origin| self.origins.allow(origin) || is_own(request, origin);
        // What a page sends and reads over a web socket is no business of CORS.
        let is_harmless = request.method().is_safe() && !asks_for_web_socket(headers);
        if is_harmless || headers.get_all(ORIGIN).iter().all(may_call) {
            return Ok(());
        }
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "Web pages of this origin may not call",
        )
        .detail("the operator lists the origins in ALLOWED_ORIGINS"))
    }
}

/// Whether a page of this server calls. The scheme does not count, because a proxy may speak TLS
/// for the server.
fn is_own(request: &Request, origin: &HeaderValue) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    // HTTP/2 names the host in the target.
    let own = host.or_else(|| request.uri().authority().map(Authority::as_str));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    own.zip(origin).is_some_and(|(own, (_, authority))| own.eq_ignore_ascii_case(authority))
}

/// The step that answers refused requests and passes on the rest.
#[derive(Debug, Clone)]
pub(crate) struct Admit(pub(crate) Arc<Allowed>);

impl Step for Admit {
    type After = ();

    fn before(&self, request: &mut Request) -> Result<(), Box<Response>> {
        self.0.check(request).map_err(|problem| Box::new(problem.into_response()))
    }
}
