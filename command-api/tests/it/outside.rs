//! Commands of callers whose tokens are from an outside issuer.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use identity::outside::test_kit::{OutsideIssuer, published, token_by};
use local_servers::{http_get, test_client, until};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::listen::refusal;
use crate::process::{Process, database};
use crate::support::tokens;

const AUDIENCE: &str = "daybook";

fn start(store: &str, issuer: &str, cache: &Path) -> Process {
    Process::start(&[
        ("EVENT_STORE_URL", store),
        ("OIDC_ISSUER", issuer),
        ("OIDC_AUDIENCE", AUDIENCE),
        ("OIDC_ROLES_CLAIM", "roles"),
        ("OIDC_ROLES", "root=admin,staff=support"),
        ("IDENTITY_CACHE", cache.to_str().unwrap()),
    ])
}

/// Registers somebody. Returns the status.
async fn register(process: &Process, token: &str) -> u16 {
    let email = format!("{}@example.com", Uuid::new_v4());
    let request = test_client().post(format!("{}/api/v1/users", process.api)).bearer_auth(token);
    let answer = request.json(&json!({"email": email, "name": "Ada"})).send().await.unwrap();
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_tokens_of_an_outside_issuer_command_what_their_roles_allow_also_while_it_is_away() {
    let (database, cache) = (database().await, TempDir::new().unwrap());
    let mut issuer = OutsideIssuer::start(&published()).await;
    let name = issuer.name();
    let token = |roles: &[&str]| token_by(&name, AUDIENCE, roles);
    let process = start(database.url(), &name, cache.path());
    process.readiness(200).await;
    until("the keys are known", async || register(&process, &token(&["root"])).await == 201).await;
    for roles in [&[][..], &["staff"], &["admin"], &["others", "Root"]] {
        assert_eq!(register(&process, &token(roles)).await, 403, "{roles:?}");
    }
    assert_eq!(register(&process, &tokens::admin()).await, 201);
    assert_eq!(register(&process, &token_by("http://127.0.0.1:1", AUDIENCE, &["root"])).await, 401);
    until("there is a copy", async || cache.path().join("outside-jwks.json").is_file()).await;
    issuer.stop().await;
    assert_eq!(process.stop().0, Some(0));
    // The copy is enough to start with, and nothing at all is enough for all other tokens.
    let process = start(database.url(), &name, cache.path());
    process.readiness(200).await;
    until("the copy is read", async || register(&process, &token(&["root"])).await == 201).await;
    drop(process);
    let empty = TempDir::new().unwrap();
    let process = start(database.url(), &name, empty.path());
    process.readiness(200).await;
    assert_eq!(register(&process, &token(&["root"])).await, 503);
    assert_eq!(register(&process, &tokens::admin()).await, 201);
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: Value = report.json().await.unwrap();
    assert!(report["components"]["outside_issuer"]["reason"].is_string(), "{report}");
    assert_eq!(report["components"]["outside_keys"]["ready"], true, "{report}");
}

#[test]
fn a_folder_of_copies_that_everybody_can_write_to_is_refused_by_the_name_of_the_setting() {
    let cache = TempDir::new().unwrap();
    std::fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let issuer = [("OIDC_ISSUER", "https://id.example.com"), ("OIDC_AUDIENCE", AUDIENCE)];
    let folder = ("IDENTITY_CACHE", cache.path().to_str().unwrap());
    let error = refusal(&[issuer[0], issuer[1], folder]);
    assert!(error.contains("IDENTITY_CACHE: every user of this machine can write"), "{error}");
}
