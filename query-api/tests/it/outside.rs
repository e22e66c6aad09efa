//! Queries of callers whose tokens are from an outside issuer.

use std::path::Path;

use identity::outside::test_kit::{OutsideIssuer, published, token_by};
use local_servers::{http_get, test_client, until};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::support::{App, tokens};

const AUDIENCE: &str = "daybook";
const FIGURES: &str = "/api/v1/sales/daily";

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
    let mut issuer = OutsideIssuer::start(&published()).await;
    let name = issuer.name();
    let token = |roles: &[&str]| token_by(&name, AUDIENCE, roles);
    let process = start(&app, &name, cache.path()).await;
    until("the keys are known", async || figures(&process, &token(&["staff"])).await == 200).await;
    for roles in [&[][..], &["support"], &["others", "Staff"]] {
        assert_eq!(figures(&process, &token(roles)).await, 403, "{roles:?}");
    }
    assert_eq!(figures(&process, &tokens::admin()).await, 200);
    assert_eq!(figures(&process, &token_by("http://127.0.0.1:1", AUDIENCE, &["staff"])).await, 401);
    until("there is a copy", async || cache.path().join("outside-jwks.json").is_file()).await;
    issuer.stop().await;
    assert_eq!(process.stop().0, Some(0));
    // The copy is enough to start with, and nothing at all is enough for all other tokens.
    let process = start(&app, &name, cache.path()).await;
    until("the copy is read", async || figures(&process, &token(&["staff"])).await == 200).await;
    let empty = TempDir::new().unwrap();
    let process = start(&app, &name, empty.path()).await;
    assert_eq!(figures(&process, &token(&["staff"])).await, 503);
    assert_eq!(figures(&process, &tokens::admin()).await, 200);
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert!(report["components"]["outside_issuer"]["reason"].is_string(), "{report}");
}
