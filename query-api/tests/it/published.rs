//! The public keys of access tokens and what is revoked: where they come from, and what works while
//! the command API is away.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Redirect;
use axum::routing::get;
use identity::{Revocations, Subject};
use local_servers::{free_port, http_get, test_client, until, until_within};
use tempfile::TempDir;
use uuid::Uuid;

use crate::listen::refusal;
use crate::process::Process;
use crate::support::App;
use crate::support::tokens::{admin, published, with_role};

/// How soon a revoked token must be refused.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);

/// An address where nothing listens.
fn nowhere() -> String {
    format!("http://127.0.0.1:{}", free_port().unwrap())
}

async fn start(app: &App, identity: &str, cache: &Path) -> Process {
    let settings = [
        ("READ_MODEL_URL", app.database.url()),
        ("IDENTITY_URL", identity),
        ("IDENTITY_CACHE", cache.to_str().unwrap()),
    ];
    Process::start(&settings).await
}

async fn status(process: &Process, token: Option<&str>, path: &str) -> u16 {
    let mut request = test_client().get(format!("{}{path}", process.api));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

/// Publishes as the command API does, at this address.
async fn serve(address: &str, revocations: Revocations) -> tokio::task::JoinHandle<()> {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let list = move || {
        let list = revocations.published(identity::Moment::of_seconds(identity::now()));
        std::future::ready(serde_json::to_vec(&list).unwrap())
    };
    let routes = Router::new()
        .route("/.well-known/jwks.json", get(async || published()))
        .route("/.well-known/revocations.json", get(list));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() })
}

#[tokio::test]
async fn p8_it_starts_from_its_copy_and_answers_while_the_command_api_is_away() {
    let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
    std::fs::write(cache.path().join("jwks.json"), published()).unwrap();
    let mut process = start(&app, &nowhere(), cache.path()).await;
    process.ready().await;
    assert_eq!(status(&process, Some(&admin()), "/api/v1/orders").await, 200);
    let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
    let report: serde_json::Value = report.json().await.unwrap();
    assert!(report["components"]["identity"]["reason"].is_string(), "{report}");
}

#[tokio::test]
async fn without_a_copy_it_serves_everybody_and_waits_for_the_keys_of_the_others() {
    let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
    let identity = format!("127.0.0.1:{}", free_port().unwrap());
    let mut process = start(&app, &format!("http://{identity}"), cache.path()).await;
    until("the products are shown", async || {
        status(&process, None, "/api/v1/products").await == 200
    })
    .await;
    assert_eq!(status(&process, Some(&admin()), "/api/v1/orders").await, 503);
    let ready = http_get(format!("{}/readyz", process.admin)).await.unwrap();
    assert_eq!(ready.status(), 503);
    let serving = serve(&identity, Revocations::default()).await;
    process.ready().await;
    assert_eq!(status(&process, Some(&admin()), "/api/v1/orders").await, 200);
    assert_eq!(std::fs::read(cache.path().join("jwks.json")).unwrap(), published());
    serving.abort();
}

#[tokio::test]
async fn p8_a_revoked_token_is_refused_within_seconds_and_stays_so_when_the_command_api_is_away() {
    let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
    let identity = format!("127.0.0.1:{}", free_port().unwrap());
    let revocations = Revocations::default();
    let serving = serve(&identity, revocations.clone()).await;
    let identity = format!("http://{identity}");
    let (gone, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
    let [gone_token, other_token] = [gone, other].map(|user| with_role(user, "user"));
    let mut process = start(&app, &identity, cache.path()).await;
    process.ready().await;
    let orders =
        async |process: &Process, token: &str| status(process, Some(token), "/api/v1/orders").await;
    assert_eq!(orders(&process, &gone_token).await, 200);
    revocations.revoke(Subject::User(gone), identity::Moment::of_seconds(identity::now() + 1));
    until_within(REVOKED_WITHIN, "the token is refused", async || {
        orders(&process, &gone_token).await == 401
    })
    .await;
    assert_eq!(orders(&process, &other_token).await, 200);
    // The copy is written after the list counts.
    until("there is a copy", async || {
        std::fs::read_to_string(cache.path().join("revocations.json"))
            .is_ok_and(|copy| copy.contains("hash"))
    })
    .await;
    serving.abort();
    assert_eq!(process.stop().0, Some(0));
    let mut process = start(&app, &identity, cache.path()).await;
    process.ready().await;
    assert_eq!(orders(&process, &gone_token).await, 401);
    assert_eq!(orders(&process, &other_token).await, 200);
}

#[tokio::test]
async fn a_list_of_what_is_revoked_that_cannot_be_read_closes_the_gate_until_one_can() {
    let readable =
        serde_json::to_vec(&Revocations::default().published(identity::Moment::of_seconds(0)))
            .unwrap();
    // A longer list than any that is allowed, and something else than a list.
    for unreadable in [vec![b' '; 17 << 20], b"{}".to_vec()] {
        let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let shown = Arc::new(std::sync::Mutex::new(readable.clone()));
        let list = Arc::clone(&shown);
        let routes =
            Router::new().route("/.well-known/jwks.json", get(async || published())).route(
                "/.well-known/revocations.json",
                get(move || std::future::ready(list.lock().unwrap().clone())),
            );
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let mut process = start(&app, &format!("http://{address}"), cache.path()).await;
        process.ready().await;
        let token = admin();
        let is = async |expected: u16| {
            until_within(REVOKED_WITHIN, "tokens are answered so", async || {
                status(&process, Some(&token), "/api/v1/orders").await == expected
            })
            .await;
        };
        is(200).await;
        *shown.lock().unwrap() = unreadable.clone();
        is(503).await;
        let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
        assert_eq!(report.status(), 503);
        assert!(report.text().await.unwrap().contains("what is revoked cannot be read"));
        assert_eq!(status(&process, None, "/api/v1/products").await, 200);
        readable.clone_into(&mut shown.lock().unwrap());
        is(200).await;
        // With the command API away, the last list that could be read counts.
        serving.abort();
        until("the command API is missed", async || {
            let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
            let report: serde_json::Value = report.json().await.unwrap();
            report["components"]["identity"]["reason"].is_string()
        })
        .await;
        is(200).await;
        process.stop();
        // A copy that cannot be read is as bad as such a list.
        std::fs::write(cache.path().join("revocations.json"), &unreadable).unwrap();
        let process = start(&app, &nowhere(), cache.path()).await;
        until("no token is accepted", async || {
            status(&process, Some(&token), "/api/v1/orders").await == 503
        })
        .await;
    }
}

/// Publishes the right keys, but in a way in which nobody should take them. It counts how often it
/// is asked.
async fn serve_oddly(address: &str, jwks: Router<Arc<AtomicUsize>>) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let routes = jwks.with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    asked
}

#[tokio::test]
async fn keys_from_elsewhere_or_in_an_answer_without_end_are_not_taken() {
    let path = "/.well-known/jwks.json";
    let elsewhere = Router::new()
        .route(
            path,
            get(async |State(asked): State<Arc<AtomicUsize>>| {
                asked.fetch_add(1, Ordering::Relaxed);
                Redirect::temporary("/other.json")
            }),
        )
        .route("/other.json", get(async || published()));
    let endless = Router::new().route(
        path,
        get(async |State(asked): State<Arc<AtomicUsize>>| {
            asked.fetch_add(1, Ordering::Relaxed);
            let mut keys = published();
            keys.resize(5 << 20, b' ');
            keys
        }),
    );
    let reasons = ["answered 307 Temporary Redirect", "is longer than"];
    for (odd, reason) in [elsewhere, endless].into_iter().zip(reasons) {
        let (app, cache) = (App::silent(1).await, TempDir::new().unwrap());
        let identity = nowhere();
        let asked = serve_oddly(identity.trim_start_matches("http://"), odd).await;
        let process = start(&app, &identity, cache.path()).await;
        until("it has asked some times", async || asked.load(Ordering::Relaxed) > 3).await;
        assert_eq!(status(&process, Some(&admin()), "/api/v1/orders").await, 503);
        assert!(!cache.path().join("jwks.json").exists(), "no copy is kept");
        let report = http_get(format!("{}/readyz?verbose", process.admin)).await.unwrap();
        let report = report.text().await.unwrap();
        assert!(report.contains(reason), "{report}");
        process.stop();
    }
}

#[test]
fn a_folder_of_copies_that_everybody_can_write_to_is_refused_by_the_name_of_the_setting() {
    let cache = TempDir::new().unwrap();
    std::fs::write(cache.path().join("jwks.json"), published()).unwrap();
    std::fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
    let error = refusal(&[("IDENTITY_CACHE", cache.path().to_str().unwrap())]);
    assert!(error.contains("IDENTITY_CACHE: every user of this machine can write"), "{error}");
}
