//! Tests of administration: roles, and the sessions and keys of others.

use chrono::TimeDelta;
use command_api::auth::account;
use local_servers::test_run;
use serde_json::json;

use super::support::{PASSWORD, Site};

const EMAIL: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_gives_and_takes_roles_and_nobody_else_does() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (_, support) = site.with_role("support@example.com", "support").await;
    let (user, session) = site.signed_in(EMAIL).await;
    let (roles, role) = (format!("users/{user}/roles"), format!("users/{user}/roles/support"));
    for (method, path) in [("GET", &roles), ("PUT", &role), ("DELETE", &role)] {
        for stranger in [&support, &session] {
            let reply = site.as_user(stranger, method, path, None).await;
            reply.problem(403, "insufficient-scope");
        }
    }
    assert_eq!(site.as_user(&admin, "GET", &roles, None).await.ok(), &json!(["user"]));
    for _ in 0..2 {
        assert_eq!(site.as_user(&admin, "PUT", &role, None).await.status, 204);
    }
    assert_eq!(site.as_user(&admin, "GET", &roles, None).await.ok(), &json!(["support", "user"]));
    let next = site.refresh(&session.refresh).await.session();
    assert_eq!(site.claims(&next).roles, ["support", "user"]);
    assert_eq!(site.as_user(&admin, "DELETE", &role, None).await.status, 204);
    assert_eq!(site.as_user(&admin, "GET", &roles, None).await.ok(), &json!(["user"]));
    for path in ["moon", "user", "Admin"] {
        let path = format!("users/{user}/roles/{path}");
        site.as_user(&admin, "PUT", &path, None).await.problem(404, "not-found");
    }
    let nobody = format!("users/{}/roles/support", uuid::Uuid::nil());
    site.as_user(&admin, "PUT", &nobody, None).await.problem(404, "not-found");
    let nobody = format!("users/{}/roles", uuid::Uuid::nil());
    site.as_user(&admin, "GET", &nobody, None).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_issued_before_a_change_of_roles_is_revoked_and_what_comes_after_is_not() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (user, session) = site.signed_in(EMAIL).await;
    let role = format!("users/{user}/roles/support");
    site.as_user(&admin, "PUT", &role, None).await;
    let before = site.revoked_user(user).await.unwrap();
    assert!(site.claims(&session).issued().micros() <= before);
    let next = site.refresh(&session.refresh).await.session();
    assert!(site.claims(&next).issued().micros() > before, "at the same moment");
    // What is so already changes nothing, and what is taken away is revoked again.
    site.later(TimeDelta::minutes(1));
    site.as_user(&admin, "PUT", &role, None).await;
    assert_eq!(site.revoked_user(user).await, Some(before));
    site.as_user(&admin, "DELETE", &role, None).await;
    assert_eq!(site.revoked_user(user).await, Some(site.now().timestamp_micros()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gives_or_takes_more_than_they_hold() {
    let site = Site::new().await;
    site.sql("INSERT INTO auth.roles VALUES ('manager', 'access:manage users:read')").await;
    let (admin, _) = site.with_role("admin@example.com", "admin").await;
    let (manager, session) = site.with_role("manager@example.com", "manager").await;
    let (user, _) = site.signed_in(EMAIL).await;
    for (method, user, role) in
        [("PUT", manager, "admin"), ("PUT", user, "support"), ("DELETE", admin, "admin")]
    {
        let path = format!("users/{user}/roles/{role}");
        let reply = site.as_user(&session, method, &path, None).await;
        reply.problem(403, "auth/beyond-own");
    }
    let own = format!("users/{user}/roles/manager");
    assert_eq!(site.as_user(&session, "PUT", &own, None).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_counts_is_in_the_token_and_in_the_table() {
    let site = Site::new().await;
    site.sql("INSERT INTO auth.roles VALUES ('manager', 'access:manage')").await;
    let (user, _) = site.signed_in(EMAIL).await;
    let path = |role: &str| format!("users/{user}/roles/{role}");
    // A role that was given after the token was issued, here without a revocation of the token.
    let (late, session) = site.signed_in("late@example.com").await;
    account::give_role(&mut site.owner().await, late, "admin").await.unwrap();
    let refused = site.as_user(&session, "PUT", &path("support"), None).await;
    refused.problem(403, "insufficient-scope");
    let (manager, session) = site.with_role("manager@example.com", "manager").await;
    account::give_role(&mut site.owner().await, manager, "support").await.unwrap();
    let refused = site.as_user(&session, "PUT", &path("support"), None).await;
    refused.problem(403, "auth/beyond-own");
    // A role that was taken away since.
    let (former, session) = site.with_role("former@example.com", "admin").await;
    site.sql(&format!("UPDATE auth.memberships SET role = 'manager' WHERE user_id = '{former}'"))
        .await;
    let refused = site.as_user(&session, "PUT", &path("support"), None).await;
    refused.problem(403, "auth/beyond-own");
    site.sql(&format!("DELETE FROM auth.memberships WHERE user_id = '{former}'")).await;
    let refused = site.as_user(&session, "PUT", &path("manager"), None).await;
    refused.problem(403, "insufficient-scope");
    let sessions = format!("users/{user}/sessions");
    site.as_user(&session, "GET", &sessions, None).await.problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_no_manager_any_more_is_refused_at_once() {
    let site = Site::new().await;
    let (first, admin) = site.with_role("admin@example.com", "admin").await;
    let (_, other) = site.with_role("other@example.com", "admin").await;
    let path = format!("users/{first}/roles/admin");
    assert_eq!(site.as_user(&other, "DELETE", &path, None).await.status, 204);
    let reply = site.as_user(&admin, "PUT", &path, None).await;
    reply.problem(401, "invalid-token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_administrator_stays_also_when_two_remove_each_other() {
    let site = Site::new().await;
    let (first, one) = site.with_role("one@example.com", "admin").await;
    let alone = format!("users/{first}/roles/admin");
    let reply = site.as_user(&one, "DELETE", &alone, None).await;
    reply.problem(409, "auth/last-administrator");
    let (second, two) = site.with_role("two@example.com", "admin").await;
    for round in 0..test_run().count(10, 1_000) {
        let paths = [first, second].map(|user| format!("users/{user}/roles/admin"));
        let (a, b) = tokio::join!(
            site.as_user(&one, "DELETE", &paths[1], None),
            site.as_user(&two, "DELETE", &paths[0], None),
        );
        let won = [&a, &b].iter().filter(|reply| reply.status == 204).count();
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM auth.memberships");
        let left = left.fetch_one(&mut site.owner().await).await.unwrap();
        assert_eq!((won, left), (1, 1), "round {round}: {:#} {:#}", a.body, b.body);
        site.sql(&format!(
            "INSERT INTO auth.memberships VALUES ('{first}', 'admin'), ('{second}', 'admin')
             ON CONFLICT DO NOTHING"
        ))
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_and_keys_are_seen_and_ended_by_their_owner_and_by_administrators() {
    let site = Site::new().await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let (user, session) = site.signed_in(EMAIL).await;
    let (_, stranger) = site.signed_in("grace@example.com").await;
    let key = json!({"name": "k", "scopes": "products:read"});
    let key = site.as_user(&session, "POST", "api-keys", Some(key)).await.made();
    let (sessions, keys) = (format!("users/{user}/sessions"), format!("users/{user}/api-keys"));
    let (one, other) = (format!("{sessions}/{}", session.id), format!("{keys}/{key}"));
    for (method, path) in [("GET", &sessions), ("DELETE", &one), ("GET", &keys), ("DELETE", &other)]
    {
        site.as_user(&stranger, method, path, None).await.problem(404, "not-found");
    }
    for reader in [&session, &admin] {
        let list = site.as_user(reader, "GET", &sessions, None).await;
        let listed = &list.ok()[0];
        assert_eq!((&listed["id"], &listed["client"]), (&json!(session.id), &json!("web")));
        assert_eq!((&listed["address"], &listed["ended_at"]), (&json!("192.0.2.1"), &json!(null)));
        assert_eq!(site.as_user(reader, "GET", &keys, None).await.ok()[0]["id"], json!(key));
    }
    assert_eq!(site.as_user(&admin, "DELETE", &other, None).await.status, 204);
    assert!(site.revoked_key(&key).await.is_some());
    for _ in 0..2 {
        assert_eq!(site.as_user(&admin, "DELETE", &one, None).await.status, 204);
    }
    site.refresh(&session.refresh).await.problem(401, "auth/invalid-token");
    let again = site.log_in(EMAIL, PASSWORD).await.session();
    let list = site.as_user(&again, "GET", &sessions, None).await;
    assert_eq!(list.ok()[1]["ended_why"], "revoked");
    let foreign = format!("{sessions}/{}", admin.id);
    site.as_user(&again, "DELETE", &foreign, None).await.problem(404, "not-found");
    let own = format!("{sessions}/{}", again.id);
    assert_eq!(site.as_user(&again, "DELETE", &own, None).await.status, 204);
    let list = site.as_user(&admin, "GET", &sessions, None).await;
    assert_eq!(list.ok()[0]["ended_why"], "logged-out");
}
