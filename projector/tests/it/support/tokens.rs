//! Access tokens for tests, signed with a key that only tests use, and a command API that does
//! nothing but publish what verifies them.

use access::Grants;
use axum::Router;
use axum::routing::get;
use identity::config::{AUDIENCE, ISSUER};
use identity::{Holder, Issuer, MAX_LIFETIME, Moment, Revocations, SigningKeys, Subject, now};
use local_servers::free_port;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

const KEYS: &str = "dGVzdHMtc2lnbi10aGVpci10b2tlbnMtd2l0aC10aGk=";
/// The user who holds every token.
pub(crate) const ADA: Uuid = Uuid::from_u128(0xada);
/// The session of every token.
pub(crate) const SESSION: Uuid = Uuid::from_u128(0x5e);
/// A session whose tokens are revoked.
const ENDED: Uuid = Uuid::from_u128(0xdead);

fn issuer() -> Issuer {
    Issuer::new(SigningKeys::parse(&KEYS.into()).unwrap(), ISSUER, AUDIENCE)
}

fn issued(credential: Uuid, grants: &str, at: i64) -> String {
    let grants: Grants = grants.parse().unwrap();
    let holder =
        Holder { user: ADA, credential, client: "tests".to_owned(), grants, roles: Vec::new() };
    issuer().issue(&holder, Moment::of_seconds(at), MAX_LIFETIME).unwrap()
}

/// A token with these permissions.
pub(crate) fn token(grants: &str) -> String {
    issued(SESSION, grants, now())
}

/// A token with these permissions that expired an hour ago.
pub(crate) fn expired(grants: &str) -> String {
    issued(SESSION, grants, now() - 3_600)
}

/// A token with these permissions whose session has ended.
pub(crate) fn revoked(grants: &str) -> String {
    issued(ENDED, grants, now())
}

/// Publishes keys and what is revoked until it is dropped.
pub(crate) struct Publisher {
    address: String,
    serving: JoinHandle<()>,
}

/// An address where nothing listens.
pub(crate) fn nowhere() -> String {
    format!("127.0.0.1:{}", free_port().unwrap())
}

impl Publisher {
    pub(crate) async fn start() -> Self {
        Self::at(nowhere()).await
    }

    pub(crate) async fn at(address: String) -> Self {
        let listener = TcpListener::bind(&address).await.unwrap();
        let revocations = Revocations::default();
        revocations.revoke(Subject::Session(ENDED), Moment::MAX);
        let list = serde_json::to_vec(&revocations.published(Moment::of_seconds(now()))).unwrap();
        let keys = serde_json::to_vec(issuer().keys().published()).unwrap();
        let routes = Router::new()
            .route("/.well-known/jwks.json", get(move || std::future::ready(keys.clone())))
            .route("/.well-known/revocations.json", get(move || std::future::ready(list.clone())));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, serving }
    }

    /// The value of `IDENTITY_URL`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
