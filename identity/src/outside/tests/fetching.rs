//! Where the keys of an outside issuer come from, and what counts while it is away.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use local_servers::until;
use serde_json::{Value, json};
use service_kit::health::Health;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::pairs::{Pair, claims, set};
use super::tokens::settings;
use crate::outside::source::MAX_DOCUMENT;
use crate::outside::test_kit::{DISCOVERY, KEYS, OutsideIssuer};
use crate::outside::{FetchError, KeySource, NotAccepted, OutsideVerifier, Pace};
use crate::verifier::{InvalidKeySet, InvalidToken, now};

/// Fetches often, so that no test waits.
const QUICK: Pace = Pace {
    refresh: Duration::from_millis(50),
    at_most_every: Duration::from_millis(50),
    soon: Duration::from_millis(10),
};
/// Fetches only what is wanted, once a second.
const WANTED: Pace = Pace {
    refresh: Duration::from_hours(1),
    at_most_every: Duration::from_secs(1),
    soon: Duration::from_millis(10),
};

fn source(issuer: &str, pace: Pace, folder: Option<&Path>, health: &Health) -> KeySource {
    let settings = settings(issuer, &[]);
    let verifier = settings.verifier("own", pace).unwrap().unwrap();
    let folder = folder.map(Path::to_owned);
    KeySource::new(Arc::new(verifier), None, folder, pace, health).unwrap()
}

/// A source that is kept until the end of the test.
struct Running {
    verifier: Arc<OutsideVerifier>,
    health: Health,
    _stop: DropGuard,
}

impl Running {
    fn start(issuer: &str, pace: Pace, folder: Option<&Path>) -> Self {
        let (health, stop) = (Health::new(), CancellationToken::new());
        let source = source(issuer, pace, folder, &health);
        let verifier = source.verifier();
        tokio::spawn(source.keep(stop.clone()));
        Self { verifier, health, _stop: stop.drop_guard() }
    }

    async fn until_accepted(&self, token: &str) {
        until("the token is accepted", async || self.verifier.verify(token).is_ok()).await;
    }

    async fn until_reported(&self, ready: bool) {
        until("the component says so after a fetch", async || {
            let found = self.health.report().components["outside_issuer"].clone();
            found.ready == ready && found.reason.as_deref() != Some("starting")
        })
        .await;
    }
}

#[tokio::test]
async fn keys_are_discovered_and_fetched_and_the_process_is_ready_without_them() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let running = Running::start(&issuer.name(), WANTED, None);
    running.until_accepted(&pair.sign(&claims(&issuer.name()))).await;
    running.until_reported(true).await;
    assert_eq!((issuer.asked(DISCOVERY), issuer.asked(KEYS)), (1, 1));
    let away = Running::start("http://127.0.0.1:1", QUICK, None);
    away.until_reported(false).await;
    let report = away.health.report();
    assert!(report.ready, "{report:?}");
    let token = pair.sign(&claims("http://127.0.0.1:1"));
    assert_eq!(away.verifier.verify(&token), Err(NotAccepted::NotKnownYet));
}

#[tokio::test]
async fn an_address_of_the_keys_makes_discovery_needless() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let keys = format!("{}{KEYS}", issuer.name());
    let settings = settings("https://id.example.com", &["--oidc-jwks-url", &keys]);
    let source = settings.source("own", None, &Health::new()).unwrap().unwrap();
    assert_eq!(source.fetch().await.unwrap(), set(&[&pair]).to_string().into_bytes());
    assert_eq!((issuer.asked(DISCOVERY), issuer.asked(KEYS)), (0, 1));
}

#[tokio::test]
async fn a_path_of_the_issuer_comes_before_that_of_the_discovery_document() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    for path in ["/realms/one", "/realms/one/"] {
        let name = format!("{}{path}", issuer.name());
        let document = json!({"issuer": name, "jwks_uri": format!("{}{KEYS}", issuer.name())});
        issuer.publish("/realms/one/.well-known/openid-configuration", &document);
        assert!(source(&name, QUICK, None, &Health::new()).fetch().await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_goes() {
    let (old, new) = (Pair::ed25519("a", 1), Pair::ed25519("b", 2));
    let issuer = OutsideIssuer::start(&set(&[&old])).await;
    let running = Running::start(&issuer.name(), WANTED, None);
    let [of_old, of_new] = [&old, &new].map(|pair| pair.sign(&claims(&issuer.name())));
    running.until_accepted(&of_old).await;
    issuer.publish(KEYS, &set(&[&old, &new]));
    running.until_accepted(&of_new).await;
    assert_eq!(issuer.asked(KEYS), 2);
    assert!(running.verifier.verify(&of_old).is_ok(), "a rotation interrupts nothing");
    issuer.publish(KEYS, &set(&[&new]));
    let stranger = Pair::ed25519("c", 3).sign(&claims(&issuer.name()));
    until("the old key is gone", async || {
        // An unknown key has the keys fetched again.
        drop(running.verifier.verify(&stranger));
        running.verifier.verify(&of_old) == Err(InvalidToken::UnknownKey.into())
    })
    .await;
    assert!(running.verifier.verify(&of_new).is_ok());
}

#[tokio::test]
async fn a_flood_of_unknown_keys_fetches_at_the_pace_and_no_faster() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let running = Running::start(&issuer.name(), WANTED, None);
    running.until_accepted(&pair.sign(&claims(&issuer.name()))).await;
    let begun = Instant::now();
    let mut sent = 0_usize;
    while issuer.asked(KEYS) < 3 {
        let mut header = pair.header();
        header["kid"] = json!(format!("made-up-{sent}"));
        let refused = running.verifier.verify(&pair.forge(&header, &claims(&issuer.name())));
        assert!(refused.is_err());
        sent += 1;
        tokio::task::yield_now().await;
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing is fetched");
    }
    // The first fetch was before. Two more take more than one second.
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(sent > 100, "{sent} tokens are no flood");
}

#[tokio::test]
async fn known_keys_count_while_the_issuer_is_away_and_it_is_found_again() {
    let (pair, newer) = (Pair::ed25519("a", 1), Pair::ed25519("b", 2));
    let mut issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let name = issuer.name();
    let running = Running::start(&name, QUICK, None);
    running.until_accepted(&pair.sign(&claims(&name))).await;
    issuer.stop().await;
    running.until_reported(false).await;
    let mut later = claims(&name);
    later["jti"] = json!("another token");
    assert!(running.verifier.verify(&pair.sign(&later)).is_ok());
    issuer.publish(KEYS, &set(&[&newer]));
    issuer.resume().await;
    running.until_accepted(&newer.sign(&claims(&name))).await;
    running.until_reported(true).await;
    // Keys that cannot be used do not take the place of those that can.
    issuer.publish(KEYS, &json!({"keys": []}));
    running.until_reported(false).await;
    assert!(running.verifier.verify(&newer.sign(&claims(&name))).is_ok());
}

#[tokio::test]
async fn p8_a_copy_is_enough_to_start_while_the_issuer_is_away() {
    let pair = Pair::ed25519("a", 1);
    let mut issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let (name, folder) = (issuer.name(), TempDir::new().unwrap());
    let token = pair.sign(&claims(&name));
    let cache = folder.path().join("cache");
    let running = Running::start(&name, QUICK, Some(&cache));
    running.until_accepted(&token).await;
    let copy = cache.join("outside-jwks.json");
    // The copy is written after the keys count.
    until("there is a copy", async || copy.is_file()).await;
    assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    issuer.stop().await;
    drop(running);
    Running::start(&name, QUICK, Some(&cache)).until_accepted(&token).await;
    // A copy of another issuer, of the future, too old or damaged does not count.
    let kept: Value = serde_json::from_slice(&std::fs::read(&copy).unwrap()).unwrap();
    let changed = |name: &str, value: Value| {
        let mut kept = kept.clone();
        kept[name] = value;
        kept.to_string()
    };
    for text in [
        changed("issuer", json!("https://id.example.com")),
        changed("fetched_at", json!(now() + 3_600)),
        changed("fetched_at", json!(now() - 25 * 3_600)),
        changed("keys", json!({"keys": []})),
        "{".to_owned(),
    ] {
        std::fs::write(&copy, &text).unwrap();
        let running = Running::start(&name, QUICK, Some(&cache));
        running.until_reported(false).await;
        let found = running.verifier.verify(&token);
        assert_eq!(found, Err(NotAccepted::NotKnownYet), "{text}");
    }
}

#[tokio::test]
async fn documents_that_could_come_from_somebody_else_are_refused() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let (name, keys) = (issuer.name(), format!("{}{KEYS}", issuer.name()));
    let source = source(&name, QUICK, None, &Health::new());
    let discovers = async |issuer_named: &str, jwks_uri: &str| {
        let document = json!({"issuer": issuer_named, "jwks_uri": jwks_uri});
        issuer.publish(DISCOVERY, &document);
        source.fetch().await
    };
    for other in ["https://id.example.com", &format!("{name}/"), ""] {
        let refused = discovers(other, &keys).await;
        assert!(matches!(refused, Err(FetchError::OtherIssuer(_))), "{other}: {refused:?}");
    }
    for address in ["http://id.example.com/keys", "file:///etc/passwd", "/keys", ""] {
        let refused = discovers(&name, address).await;
        assert!(matches!(refused, Err(FetchError::Unsafe)), "{address}: {refused:?}");
    }
    issuer.publish(DISCOVERY, &json!({"issuer": name}));
    assert!(matches!(source.fetch().await, Err(FetchError::NoDiscovery(_))));
    assert_eq!(issuer.asked(KEYS), 0);
    assert!(discovers(&name, &keys).await.is_ok());
}

#[tokio::test]
async fn a_redirect_another_status_and_a_long_document_are_refused() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[&pair])).await;
    let source = source(&issuer.name(), QUICK, None, &Health::new());
    let good = set(&[&pair]).to_string().into_bytes();
    issuer.answer("/elsewhere", StatusCode::OK, None, good.clone());
    for status in [301, 302, 307, 308, 204, 404, 500] {
        let code = StatusCode::from_u16(status).unwrap();
        let body = if status == 204 { Vec::new() } else { good.clone() };
        issuer.answer(KEYS, code, Some("/elsewhere".to_owned()), body);
        let refused = source.fetch().await;
        assert!(matches!(refused, Err(FetchError::Status(found)) if found == status), "{status}");
    }
    assert_eq!(issuer.asked("/elsewhere"), 0);
    for (length, fits) in [(MAX_DOCUMENT, true), (MAX_DOCUMENT + 1, false)] {
        let mut body = good.clone();
        body.resize(length, b' ');
        issuer.answer(KEYS, StatusCode::OK, None, body);
        let fetched = source.fetch().await;
        assert_eq!(fetched.is_ok(), fits);
        assert!(fits || matches!(fetched, Err(FetchError::TooLong { limit: MAX_DOCUMENT })));
    }
}

#[tokio::test]
async fn too_many_keys_are_refused() {
    let pair = Pair::ed25519("a", 1);
    let issuer = OutsideIssuer::start(&set(&[])).await;
    issuer.publish(KEYS, &set(&[&pair; 65]));
    let running = Running::start(&issuer.name(), QUICK, None);
    running.until_reported(false).await;
    let report = running.health.report().components["outside_issuer"].clone();
    let expected = InvalidKeySet::TooMany { limit: 64 }.to_string();
    assert!(report.reason.is_some_and(|reason| reason.contains(&expected)));
}

#[tokio::test]
async fn an_issuer_that_takes_the_connection_and_says_nothing_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let name = format!("http://{}", listener.local_addr().unwrap());
    let source = source(&name, QUICK, None, &Health::new());
    let begun = Instant::now();
    assert!(matches!(source.fetch().await, Err(FetchError::Away(_))));
    assert!(begun.elapsed() < Duration::from_secs(10));
}
