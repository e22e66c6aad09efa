//! Tests of log-in: who gets tokens, what they say, and that failures look the same.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use command_api::auth::{account, database};
use serde_json::{Value, json};

use super::support::{PASSWORD, Site, weak_hash};
use crate::support::{Reply, json_request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_password_gives_tokens_with_the_grants_of_all_roles() {
    let site = Site::new().await;
    let user = site.user("Ada@example.com", PASSWORD).await;
    account::give_role(&mut site.owner().await, user, "support").await.unwrap();
    let reply = site.log_in("ada@EXAMPLE.com", PASSWORD).await;
    let (session, data) = (reply.session(), reply.ok());
    assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert_eq!(data["user_id"], user.to_string());
    assert_eq!(reply.header("cache-control"), "no-store");
    let claims = site.claims(&session);
    assert_eq!((claims.sub, claims.sid.to_string()), (user, session.id));
    assert_eq!((claims.exp - claims.iat, claims.client_id.as_str()), (300, "web"));
    assert_eq!(claims.roles, ["support", "user"]);
    assert_eq!(
        claims.scope,
        "users:read users:write.own users:delete.own orders:read orders:write orders:fulfil \
         products:read sales:read"
    );
    assert_eq!(data["scope"], claims.scope);
}

/// The parts of an answer that may not differ.
fn comparable(mut reply: Reply) -> (u16, HeaderMap, Value) {
    for name in ["x-request-id", "traceparent"] {
        reply.headers.remove(name).unwrap();
    }
    reply.body["request_id"] = Value::Null;
    (reply.status.as_u16(), reply.headers, reply.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_address_and_a_wrong_password_look_the_same() {
    let site = Site::new().await;
    site.user("ada@example.com", PASSWORD).await;
    site.shop.user("no-account@example.com").await;
    let wrong = site.log_in("ada@example.com", "another password").await;
    wrong.problem(401, "auth/wrong-credentials");
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
    let wrong = comparable(wrong);
    let long = "p".repeat(10_000);
    for (email, password) in [
        ("nobody@example.com", "another password"),
        ("nobody@example.com", PASSWORD),
        ("no-account@example.com", PASSWORD),
        ("ada@example.com", ""),
        ("ada@example.com", &long),
    ] {
        assert_eq!(comparable(site.log_in(email, password).await), wrong, "{email}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_address_takes_as_long_as_a_wrong_password() {
    const ROUNDS: u8 = 15;
    let site = Site::new().await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let email = format!("ada{round}@example.com");
        site.user(&email, PASSWORD).await;
        for (email, times) in [(email.as_str(), &mut known), ("nobody@example.com", &mut unknown)] {
            let (address, started) = ([198, 51, 100, round].into(), Instant::now());
            let reply = site.log_in_from(address, email, "another password").await;
            reply.problem(401, "auth/wrong-credentials");
            times.push(started.elapsed());
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    // Without a comparison it would take a tenth.
    assert!(unknown > known / 2 && known > unknown / 2, "{known:?} and {unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_with_weaker_parameters_is_replaced_at_the_next_log_in() {
    let site = Site::new().await;
    let user = site.shop.user("ada@example.com").await.parse().unwrap();
    let weak = weak_hash(PASSWORD);
    account::open(&mut site.owner().await, user, &weak, site.now()).await.unwrap();
    site.log_in("ada@example.com", "another password").await.problem(401, "auth/wrong-credentials");
    assert!(site.dump().await.contains(&weak), "a wrong password replaces nothing");
    site.log_in("ada@example.com", PASSWORD).await.session();
    let dump = site.dump().await;
    assert!(!dump.contains(&weak) && dump.contains("$argon2id$v=19$m=19456,t=2,p=1$"), "{dump}");
    site.log_in("ada@example.com", PASSWORD).await.session();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_user_neither_logs_in_nor_refreshes() {
    let site = Site::new().await;
    let user = site.user("ada@example.com", PASSWORD).await;
    let session = site.log_in("ada@example.com", PASSWORD).await.session();
    site.shop.delete(&format!("/api/v1/users/{user}")).await.ok();
    site.log_in("ada@example.com", PASSWORD).await.problem(401, "auth/wrong-credentials");
    site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
    assert_eq!(site.ends().await, [Some("user-gone".to_owned())]);
    assert!(site.revoked(&session).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_stored_reveals_a_secret() {
    let site = Site::new().await;
    site.user("ada@example.com", PASSWORD).await;
    let first = site.log_in("ada@example.com", PASSWORD).await.session();
    let second = site.refresh(&first.refresh).await.session();
    let dump = site.dump().await;
    assert!(dump.contains(&first.id));
    for secret in [PASSWORD, "ada@example.com", &first.access, &first.refresh, &second.refresh] {
        assert!(!dump.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_content_is_pointed_at_and_no_secret_is_repeated() {
    let site = Site::new().await;
    let right = json!({"email": "ada@example.com", "password": "canary-password"});
    for (name, value, code) in [
        ("email", json!("ada"), "email/malformed"),
        ("client", json!("Web Shop"), "invalid"),
        ("client", json!(null), "invalid"),
        ("password", json!(4711), "invalid"),
        ("password", json!(["4711"]), "invalid"),
        ("role", json!("admin"), "unknown"),
    ] {
        let mut body = right.clone();
        body[name] = value;
        let reply = site.shop.post("/api/v1/auth/log-in", body).await;
        reply.wrong(&[(&format!("/{name}"), code)]);
        let text = reply.body.to_string();
        assert!(!text.contains("canary") && !text.contains("4711"), "{text}");
    }
    let request = json_request("POST", "/api/v1/auth/log-in?password=canary", &right);
    site.shop.send(request).await.problem(422, "invalid-content");
}

#[tokio::test]
async fn without_credentials_there_is_no_log_in() {
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let shop = crate::support::Shop::new();
    shop.post("/api/v1/auth/log-in", body).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_gives_administrators_what_is_new_and_leaves_other_roles_alone() {
    let site = Site::new().await;
    let mut owner = site.owner().await;
    let change = "UPDATE auth.roles SET grants = 'products:read'";
    sqlx::query(change).execute(&mut owner).await.unwrap();
    database::migrate(&site.database.url().to_owned().into()).await.unwrap();
    let grants = sqlx::query_as::<_, (String, String)>("SELECT name, grants FROM auth.roles");
    let mut grants = grants.fetch_all(&mut owner).await.unwrap();
    grants.sort();
    let all = access::Grants::all().to_string();
    let expected =
        [("admin", all.as_str()), ("support", "products:read"), ("user", "products:read")];
    assert_eq!(grants, expected.map(|(name, grants)| (name.to_owned(), grants.to_owned())));
}
