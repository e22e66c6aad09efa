//! Queries of callers whose tokens are from an outside issuer.

use std::path::Path;

use access::Grants;
use axum::routing::get;
use axum::{Json, Router};
use identity::{Holder, Issuer, MAX_LIFETIME, SigningKeys};
use local_servers::{http_get, test_client, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::process::Process;
use crate::support::{App, tokens};

/// The key of the issuer, which only these tests know.
const KEY: &str = "b3V0c2lkZS1pc3N1ZXItc2lnbnMtd2l0aC10aGlzLWs=";
const AUDIENCE: &str = "daybook";
const FIGURES: &str = "/api/v1/sales/daily";

/// An outside issuer of this machine.
struct Outside {
    address: String,
    serving: JoinHandle<()>,
}

impl Outside {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let document = json!({"issuer": address, "jwks_uri": format!("{address}/keys")});
        let keys = serde_json::to_value(keys().published()).unwrap();
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(async || Json(document)))
            .route("/keys", get(async || Json(keys)));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, serving }
    }

    /// Stops to answer, and to listen.
    async fn stop(&mut self) {
        self.serving.abort();
        drop((&mut self.serving).await);
    }

    /// A token of somebody with these values of the claim `roles`.
    fn token(&self, roles: &[&str]) -> String {
        let holder = Holder {
            user: Uuid::from_u128(0xad),
            credential: Uuid::from_u128(1),
            client: "frontend".to_owned(),
            // A scope of the issuer says nothing here.
            grants: Grants::all(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let issuer = Issuer::new(keys(), &self.address, AUDIENCE);
        issuer.issue(&holder, identity::micros(identity::now()), MAX_LIFETIME).unwrap()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn keys() -> SigningKeys {
    SigningKeys::parse(&KEY.into()).unwrap()
}

async fn start(app: &App, issuer: &str, cache: &Path) -> Process {
    std::fs::write(cache.join("jwks.json"), tokens::published()).unwrap();
    let mut process = Process::start(&[
        ("READ_MODEL_URL", app.database.url()),
        ("OIDC_ISSUER", issuer),
        ("OIDC_AUDIENCE", AUDIENCE),
        ("OIDC_ROLES_CLAIM", "roles"),
        ("OIDC_ROLES", "staff=support"),
        ("IDENTITY_CACHE", cache.to_str().unwrap()),
    ])
    .await;
    process.ready().await;
    process
}

/// Asks for the sales figures, which only staff sees. Returns the status.
async fn figures(process: &Process, token: &str) -> u16 {
    let request = test_client().get(format!("{}{FIGURES}", process.api)).bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn p8_tokens_of_an_outside_issuer_see_what_their_roles_allow_also_while_it_is_away() {
    let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
    let mut issuer = Outside::start().await;
    let process = start(&app, &issuer.address, cache.path()).await;
    until("the keys are known", async || figures(&process, &issuer.token(&["staff"])).await == 200)
        .await;
    for roles in [&[][..], &["support"], &["others", "Staff"]] {
        assert_eq!(figures(&process, &issuer.token(roles)).await, 403, "{roles:?}");
    }
    assert_eq!(figures(&process, &tokens::admin()).await, 200);
    let stranger =
        Outside { address: "http://127.0.0.1:1".into(), serving: tokio::spawn(async {}) };
    assert_eq!(figures(&process, &stranger.token(&["staff"])).await, 401);
    until("there is a copy", async || cache.path().join("outside-jwks.json").is_file()).await;
    issuer.stop().await;
    assert_eq!(process.stop().0, Some(0));
    // The copy is enough to start with, and nothing at all is enough for all other tokens.
    let process = start(&app, &issuer.address, cache.path()).await;
    until("the copy is read", async || figures(&process, &issuer.token(&["staff"])).await == 200)
        .await;
    let empty = TempDir::new().unwrap();
    let process = start(&app, &issuer.address, empty.path()).await;
    assert_eq!(figures(&process, &issuer.token(&["staff"])).await, 503);
    assert_eq!(figures(&process, &tokens::admin()).await, 200);
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert!(report["components"]["outside_issuer"]["reason"].is_string(), "{report}");
}
