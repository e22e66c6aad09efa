//! Doubles of the APIs, and a front between them and a client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use front::{Both, Front, Reports, UpstreamLimits, keep_asking, router};
use local_servers::{in_time, test_client, until};
use serde_json::{Value, json};
use service_kit::health::Health;
use service_kit::http::{Allowed, Limits, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Limits that no test reaches by accident.
pub(crate) const PLENTY: UpstreamLimits =
    UpstreamLimits { requests: 64, streams: 64, deadline: Duration::from_secs(20) };

/// A server that runs until it is stopped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    drain: CancellationToken,
    task: JoinHandle<()>,
}

impl Served {
    /// Serves on a free port.
    pub(crate) async fn start(router: Router, limits: Limits) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), router, limits)
    }

    /// Serves on this port.
    pub(crate) fn on(listener: TcpListener, router: Router, limits: Limits) -> Self {
        let (address, drain) = (listener.local_addr().unwrap(), CancellationToken::new());
        let task = tokio::spawn(serve(listener, router, limits, drain.clone()));
        Self { address, drain, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Drains the server and waits for its end.
    pub(crate) async fn stop(self) {
        self.drain.cancel();
        in_time("the end of a server", self.task).await.unwrap();
    }
}

/// Limits of a port that trusts proxies on this machine.
pub(crate) fn behind_a_proxy() -> Limits {
    Limits { trusted_proxies: "127.0.0.1".parse().unwrap(), ..Limits::default() }
}

/// What reached a double, apart from questions of how it describes itself: method, path, fields and
/// body.
pub(crate) type Seen = Arc<Mutex<Vec<(Method, String, HeaderMap, String)>>>;

/// A double of an API.
pub(crate) struct Double {
    pub(crate) routes: Router,
    pub(crate) seen: Seen,
}

impl Double {
    /// A double with these routes, which describes itself by these documents and this schema.
    pub(crate) fn new(documents: &[Value], schema: Option<&'static str>, routes: Router) -> Self {
        let seen = Seen::default();
        let routes = routes.layer(from_fn_with_state(seen.clone(), note));
        let paths = ["/openapi.json", "/openapi/v2.json"];
        let routes = documents.iter().zip(paths).fold(routes, |routes, (document, path)| {
            let document = document.clone();
            routes.route(path, get(async move || Json(document)))
        });
        let routes = match schema {
            Some(schema) => routes.merge(graphql(schema, seen.clone())),
            None => routes,
        };
        Self { routes, seen }
    }

    pub(crate) async fn serve(&self) -> Served {
        Served::start(self.routes.clone(), behind_a_proxy()).await
    }

    /// What reached it so far.
    pub(crate) fn seen(&self) -> Vec<(Method, String, HeaderMap, String)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Notes a request.
async fn note(State(seen): State<Seen>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    let target = parts.uri.path_and_query().unwrap().to_string();
    // The front asks again and again how an API describes itself.
    if !target.starts_with("/openapi") && !text.contains("_service") {
        let one = (parts.method.clone(), target, parts.headers.clone(), text);
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }
    next.run(Request::from_parts(parts, body.into())).await
}

/// An endpoint that shows its schema and answers everything else alike.
fn graphql(schema: &'static str, seen: Seen) -> Router {
    let answer = async move |body: Bytes| {
        let data = if String::from_utf8_lossy(&body).contains("_service") {
            json!({"_service": {"sdl": schema}})
        } else {
            json!({"answered": true})
        };
        let kind = [(CONTENT_TYPE, "application/graphql-response+json; charset=utf-8")];
        (kind, Json(json!({"data": data})).into_response().into_body()).into_response()
    };
    let routes = Router::new().route("/graphql", post(answer).get(answer));
    routes.layer(from_fn_with_state(seen, note))
}

/// A description of these operations, in OpenAPI.
pub(crate) fn described(operations: &[(&str, &str)]) -> Value {
    let mut document = json!({"openapi": "3.1.0", "info": {"title": "An API", "version": "1"},
        "paths": {}});
    for (method, path) in operations {
        document["paths"][*path][*method] = json!({"responses": {}});
    }
    document
}

/// A front under test. It stops with the test.
pub(crate) struct TestFront {
    pub(crate) served: Served,
    pub(crate) health: Health,
    /// Ends the streams that pass the front.
    pub(crate) drain: CancellationToken,
    _stop: tokio_util::sync::DropGuard,
}

/// How a front is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) upstream: UpstreamLimits,
    pub(crate) allowed: Allowed,
}

impl Default for Setup {
    fn default() -> Self {
        Self { limits: Limits::default(), upstream: PLENTY, allowed: Allowed::default() }
    }
}

impl TestFront {
    /// Starts a front before two APIs, and waits until it is ready.
    pub(crate) async fn start(command: SocketAddr, query: SocketAddr, setup: Setup) -> Self {
        let front = Self::begin(command, query, setup).await;
        until("the front is ready", async || front.health.report().ready).await;
        front
    }

    /// Starts a front, and does not wait.
    pub(crate) async fn begin(command: SocketAddr, query: SocketAddr, setup: Setup) -> Self {
        let address = |of: SocketAddr| format!("http://{of}").parse().unwrap();
        let addresses = Both { command: address(command), query: address(query) };
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let front = Front::new(addresses, setup.upstream, &drain).unwrap();
        let health = Health::new();
        let served = Served::start(router(front.clone(), &setup.allowed), setup.limits).await;
        let (reports, until) = (Reports::new(&health), stop.clone());
        tokio::spawn(async move { keep_asking(&front, &reports, until).await });
        Self { served, health, drain, _stop: stop.drop_guard() }
    }

    /// Sends a request; the body is JSON if there is one.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = test_client().request(method, self.served.url(path));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(Method::POST, path, &[], Some(body)).await
    }

    /// Whether a component of its health is ready, and why not.
    pub(crate) fn component(&self, name: &str) -> (bool, String) {
        let report = self.health.report();
        let component = &report.components[name];
        (component.ready, component.reason.clone().unwrap_or_default())
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// Checks that it is a problem with this status and code.
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &Self {
        let found = self.json()["code"].as_str().map(str::to_owned);
        assert_eq!((self.status.as_u16(), found.as_deref()), (status, Some(code)), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.json()["request_id"], self.header("x-request-id"));
        self
    }
}
