//! A receiver that keeps what it gets, checks signatures by itself, and answers as a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use local_servers::until as eventually;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A message that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn position(&self) -> i64 {
        self.event()["position"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn replay(&self) -> Option<Uuid> {
        self.headers.get("daybook-replay").map(|id| id.parse().unwrap())
    }

    /// Checks the signature as Standard Webhooks says, and returns the number of those that fit.
    pub(crate) fn signed_with(&self, secret: &str) -> usize {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let content = format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body);
        let signatures = self.headers["webhook-signature"].split(' ');
        let fits = signatures.filter(|signature| {
            let tag = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(content.as_bytes());
            mac.verify_slice(&tag).is_ok()
        });
        fits.count()
    }
}

/// How a receiver answers a message, of which so many came before.
pub(crate) type Answers = Arc<dyn Fn(&Received, usize) -> Reply + Send + Sync>;

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(u16),
    /// 429 with `Retry-After`, in seconds.
    Later(u64),
    /// 302 to another place.
    Elsewhere(SocketAddr),
    /// No answer.
    Silence,
}

/// What a receiver shares with its test.
#[derive(Clone)]
struct Shared {
    answers: Arc<Mutex<Answers>>,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A running receiver.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// A receiver that takes everything.
    pub(crate) async fn new() -> Self {
        Self::answering(|_, _| Reply::Status(204)).await
    }

    pub(crate) async fn answering(
        answers: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Shared { answers: Arc::new(Mutex::new(Arc::new(answers))), received: Arc::default() };
        let routes = Router::new().route("/in", post(take)).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, shared, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/in?token=canary", self.address)
    }

    /// Answers in this way from now on.
    pub(crate) fn now(&self, answers: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) {
        *self.shared.answers.lock().unwrap() = Arc::new(answers);
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// The positions of all messages, ascending: several are under way at once.
    pub(crate) fn positions(&self) -> Vec<i64> {
        let mut positions: Vec<i64> = self.all().iter().map(Received::position).collect();
        positions.sort_unstable();
        positions
    }

    /// Waits until so many messages came, at least.
    pub(crate) async fn got(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} messages");
        eventually(&what, async || self.shared.received.lock().unwrap().len() >= count).await;
        self.all()
    }

    /// Waits until every one of these positions came.
    pub(crate) async fn got_positions(&self, positions: &[i64]) {
        eventually("every event", async || {
            let came = self.positions();
            positions.iter().all(|position| came.contains(position))
        })
        .await;
    }
}

async fn take(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let received = Received { headers, body: String::from_utf8(body.to_vec()).unwrap() };
    let before = {
        let mut all = shared.received.lock().unwrap();
        all.push(received.clone());
        all.len() - 1
    };
    let answers = Arc::clone(&shared.answers.lock().unwrap());
    match answers(&received, before) {
        Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Reply::Later(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())]).into_response()
        }
        Reply::Elsewhere(address) => {
            (StatusCode::FOUND, [("location", format!("http://{address}/in"))]).into_response()
        }
        Reply::Silence => std::future::pending().await,
    }
}
