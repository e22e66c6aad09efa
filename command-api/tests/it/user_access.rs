//! `command-api access` from outside: what an operator sees and changes, and what is refused.

use serde_json::Value;

use crate::create_admin::{EMAIL, Stores};

const SESSION: &str = "00000000-0000-7000-8000-000000000001";
const KEY: &str = "00000000-0000-7000-8000-000000000002";

/// An administrator with a session and an API key.
async fn stores() -> Stores {
    let stores = Stores::new().await;
    let (code, said) = stores.create(&[], &[]);
    assert_eq!(code, Some(0), "{said}");
    stores
        .sql(
            "INSERT INTO auth.sessions
                     (session_id, user_id, client, address, created_at, used_at, token_hash)
                 SELECT '00000000-0000-7000-8000-000000000001', user_id, 'web', '192.0.2.7',
                     now(), now(), sha256('t')
                 FROM auth.accounts;
             INSERT INTO auth.api_keys (key_id, user_id, name, key_hash, scopes, created_at)
                 SELECT '00000000-0000-7000-8000-000000000002', user_id, 'report', sha256('k'),
                     'orders:read.own', now()
                 FROM auth.accounts;",
        )
        .await;
    stores
}

/// What the command line prints.
fn said(stores: &Stores, arguments: &[&str]) -> String {
    let (code, said) = stores.run(&[&["access"], arguments].concat(), &[]);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

/// Checks that the command line fails with this code and says why.
fn refused(stores: &Stores, arguments: &[&str], expected: i32, why: &str) {
    let (code, said) = stores.run(&[&["access"], arguments].concat(), &[]);
    assert_eq!(code, Some(expected), "{arguments:?}: {said}");
    assert!(said.contains(why), "{arguments:?}: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_gives_and_takes_roles_but_not_that_of_the_last_administrator() {
    let stores = stores().await;
    let id = stores.subject().await.to_string();
    for user in [EMAIL, &id] {
        assert_eq!(said(&stores, &["roles", user]), "admin\nuser\n");
    }
    refused(&stores, &["revoke", EMAIL, "admin"], 3, "the last administrator stays one");
    let revoked = "SELECT count(*) FROM auth.revocations";
    assert_eq!(stores.count(revoked).await, 0);
    said(&stores, &["grant", EMAIL, "support"]);
    assert_eq!(stores.count(revoked).await, 1, "tokens that do not know the role");
    assert_eq!(
        said(&stores, &["roles", &id, "--json"]).parse::<Value>().unwrap().to_string(),
        r#"["admin","support","user"]"#
    );
    said(&stores, &["revoke", &id, "support"]);
    assert_eq!(said(&stores, &["roles", EMAIL]), "admin\nuser\n");
    for role in ["user", "nothing"] {
        refused(&stores, &["grant", EMAIL, role], 3, "there is no such role");
    }
    refused(&stores, &["grant", EMAIL, "No Role"], 2, "the name of a role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_and_ends_sessions_and_keys() {
    let stores = stores().await;
    let listed = said(&stores, &["sessions", EMAIL]);
    assert!(listed.starts_with(&format!("{SESSION}  web  from 192.0.2.7  begun ")), "{listed}");
    assert!(listed.ends_with("  live\n"), "{listed}");
    let listed = said(&stores, &["api-keys", EMAIL]);
    assert!(listed.starts_with(&format!("{KEY}  report  made ")), "{listed}");
    assert!(listed.ends_with("  used never  does not expire  orders:read.own\n"), "{listed}");

    refused(&stores, &["end-session", EMAIL, KEY], 3, "the user has no such session");
    refused(&stores, &["revoke-api-key", EMAIL, SESSION], 3, "the user has no such API key");
    for _ in 0..2 {
        said(&stores, &["end-session", EMAIL, SESSION]);
        said(&stores, &["revoke-api-key", EMAIL, KEY]);
    }
    assert_eq!(stores.count("SELECT count(*) FROM auth.revocations").await, 2);
    let listed = said(&stores, &["sessions", EMAIL]);
    assert!(listed.ends_with(" (revoked)\n"), "{listed}");
    let listed: Value = said(&stores, &["api-keys", EMAIL, "--json"]).parse().unwrap();
    assert_eq!(listed[0]["key_id"], KEY);
    assert!(listed[0]["revoked_at"].is_string() && listed[0].get("key_hash").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_is_not_there_is_said_to_be_absent() {
    let stores = stores().await;
    refused(&stores, &["roles", "nobody@example.com"], 3, "no user holds this e-mail address");
    refused(&stores, &["roles", SESSION], 3, "the user has no account");
    refused(&stores, &["roles", "nobody"], 2, "neither an id nor an e-mail address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_administrator_is_not_erased_by_command_line_either() {
    let stores = stores().await;
    let id = stores.subject().await.to_string();
    let erase = ["erase-subject", id.as_str(), "--by", "clerk-7"];
    let as_a_token = ["erase-subject", id.as_str(), "--by", "User:clerk-7"];
    let (code, said) = stores.run(&as_a_token, &[]);
    assert_eq!(code, Some(2), "{said}");
    let (code, said) = stores.run(&erase, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the last administrator"), "{said}");
    assert_eq!(stores.count("SELECT count(*) FROM auth.memberships").await, 1);
    let other = ["create-admin", "--email", "other@example.com"];
    let (code, said) = stores.run(&other, &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = stores.run(&erase, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(stores.count("SELECT count(*) FROM auth.memberships").await, 1);
}
