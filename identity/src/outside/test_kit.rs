//! For tests, behind the feature `test-kit`: an outside issuer, which is a server of this machine
//! that publishes keys.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "it is for tests")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use access::Grants;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{Holder, Issuer, MAX_LIFETIME, Moment, SigningKeys, now};

/// The path of the discovery document.
pub const DISCOVERY: &str = "/.well-known/openid-configuration";
/// The path of the keys.
pub const KEYS: &str = "/keys";

/// The key of an issuer that these tests alone know.
const KEY: &str = "b3V0c2lkZS1pc3N1ZXItc2lnbnMtd2l0aC10aGlzLWs=";

/// The JWK set of the key that [`token_by`] signs with.
pub fn published() -> Value {
    serde_json::to_value(signing().published()).unwrap()
}

/// A token of the issuer with this name, of somebody with these values of the claim `roles`.
pub fn token_by(issuer: &str, audience: &str, roles: &[&str]) -> String {
    let holder = Holder {
        user: Uuid::from_u128(0xad),
        credential: Uuid::from_u128(1),
        client: "frontend".to_owned(),
        // A scope of the issuer gives no rights here.
        grants: Grants::all(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    let issuer = Issuer::new(signing(), issuer, audience);
    issuer.issue(&holder, Moment::of_seconds(now()), MAX_LIFETIME).unwrap()
}

fn signing() -> SigningKeys {
    SigningKeys::parse(&KEY.into()).unwrap()
}

/// What is published, and how often each path was asked for.
#[derive(Default)]
struct Site {
    answers: HashMap<String, (StatusCode, Option<String>, Vec<u8>)>,
    asked: HashMap<String, usize>,
}

/// An outside issuer that answers until it is dropped or stopped.
pub struct OutsideIssuer {
    address: SocketAddr,
    site: Arc<Mutex<Site>>,
    serving: JoinHandle<()>,
}

impl OutsideIssuer {
    /// Starts an issuer with a discovery document and this JWK set.
    pub async fn start(keys: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let site = Arc::<Mutex<Site>>::default();
        let issuer = Self { address, serving: serve(listener, &site), site };
        let address = format!("{}{KEYS}", issuer.name());
        issuer.publish(DISCOVERY, &json!({"issuer": issuer.name(), "jwks_uri": address}));
        issuer.publish(KEYS, keys);
        issuer
    }

    /// The name of the issuer, which is its address.
    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Publishes this document at a path.
    pub fn publish(&self, path: &str, document: &Value) {
        self.answer(path, StatusCode::OK, None, document.to_string().into_bytes());
    }

    /// Answers in this way at a path, perhaps with a `Location`.
    pub fn answer(&self, path: &str, status: StatusCode, location: Option<String>, body: Vec<u8>) {
        self.site.lock().unwrap().answers.insert(path.to_owned(), (status, location, body));
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.site.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    /// Stops listening.
    pub async fn stop(&mut self) {
        self.serving.abort();
        drop((&mut self.serving).await);
    }

    /// Answers again after a stop.
    pub async fn resume(&mut self) {
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
