//! An outside issuer: a server of this machine that publishes keys.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::pairs::{Pair, set};

/// The path of the discovery document, and that of the keys.
pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const KEYS: &str = "/keys";

/// What is published, and how often each path was asked for.
#[derive(Default)]
struct Site {
    answers: HashMap<String, (StatusCode, Option<String>, Vec<u8>)>,
    asked: HashMap<String, usize>,
}

/// An issuer that answers until it is dropped or stopped.
pub(super) struct OutsideIssuer {
    address: SocketAddr,
    site: Arc<Mutex<Site>>,
    serving: JoinHandle<()>,
}

impl OutsideIssuer {
    /// Starts an issuer with a discovery document and these keys.
    pub(super) async fn start(pairs: &[&Pair]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::<Mutex<Site>>::default();
        let issuer = Self { address, serving: serve(listener, &site), site };
        let keys = format!("{}{KEYS}", issuer.name());
        issuer.publish(DISCOVERY, &json!({"issuer": issuer.name(), "jwks_uri": keys}));
        issuer.publish(KEYS, &set(pairs));
        issuer
    }

    /// Its name, which is its address.
    pub(super) fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes this document at a path.
    pub(super) fn publish(&self, path: &str, document: &Value) {
        self.answer(path, StatusCode::OK, None, document.to_string().into_bytes());
    }

    /// Answers in this way at a path, perhaps with a `Location`.
    pub(super) fn answer(
        &self,
        path: &str,
        status: StatusCode,
        location: Option<String>,
        body: Vec<u8>,
    ) {
        self.site.lock().unwrap().answers.insert(path.to_owned(), (status, location, body));
    }

    /// How often a path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.site.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    /// Stops to answer, and to listen.
    pub(super) async fn stop(&mut self) {
        self.serving.abort();
        drop((&mut self.serving).await);
    }

    /// Answers again after a stop.
    pub(super) async fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = serve(listener, &self.site);
    }
}

impl Drop for OutsideIssuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn serve(listener: TcpListener, site: &Arc<Mutex<Site>>) -> JoinHandle<()> {
    let routes = Router::new().fallback(answer).with_state(Arc::clone(site));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() })
}

async fn answer(State(site): State<Arc<Mutex<Site>>>, uri: Uri) -> Response<Body> {
    let mut site = site.lock().unwrap();
    *site.asked.entry(uri.path().to_owned()).or_default() += 1;
    let absent = (StatusCode::NOT_FOUND, None, Vec::new());
    let (status, location, body) = site.answers.get(uri.path()).cloned().unwrap_or(absent);
    let answer = Response::builder().status(status).header("connection", "close");
    let answer = location.into_iter().fold(answer, |answer, to| answer.header("location", to));
    answer.body(Body::from(body)).unwrap()
}
