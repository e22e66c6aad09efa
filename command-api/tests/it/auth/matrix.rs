//! The access matrix of identity: each of its operations, asked by everybody.
//!
//! The operations come from the document, the expected answers from the table, which is written by
//! hand. An operation without a row fails the test.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use command_api::http::{Version, document};
use serde_json::{Value, json};
use service_kit::http::ClientAddress;
use uuid::Uuid;

use super::support::{PASSWORD, Session, Site};
use crate::access::graphql::graphql;
use crate::support::json_request;
use crate::support::tokens::{By as _, expired};

/// Who asks. The resources are Ada's, the owner's. `revoked` is a token of a session of hers that
/// was ended. `key` is a token from an API key of hers.
pub(super) const CALLERS: [&str; 7] =
    ["anonymous", "stranger", "owner", "admin", "expired", "revoked", "key"];

/// The statuses of each operation. Those whose proof is in the body answer everybody alike, but
/// never a token that is not valid.
pub(super) const TABLE: &[(&str, &str, [u16; 7])] = &[
    // One line each.
    ("delete", "api-keys/{id}", [401, 404, 404, 404, 401, 401, 403]),
    ("delete", "users/{id}/api-keys/{key_id}", [401, 404, 404, 404, 401, 401, 403]),
    ("delete", "users/{id}/roles/{role}", [401, 403, 403, 204, 401, 401, 403]),
    ("delete", "users/{id}/sessions/{session_id}", [401, 404, 404, 404, 401, 401, 403]),
    ("get", "api-keys", [401, 200, 200, 200, 401, 401, 403]),
    ("get", "users/{id}/api-keys", [401, 404, 200, 200, 401, 401, 403]),
    ("get", "users/{id}/roles", [401, 403, 403, 200, 401, 401, 403]),
    ("get", "users/{id}/sessions", [401, 404, 200, 200, 401, 401, 403]),
    ("post", "api-keys", [401, 201, 201, 201, 401, 401, 403]),
    ("post", "email", [401, 202, 202, 202, 401, 401, 403]),
    ("post", "email/confirm", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "log-in", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "log-out", [204, 204, 204, 204, 401, 401, 204]),
    ("post", "log-out-everywhere", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "password", [401, 401, 401, 401, 401, 401, 403]),
    ("post", "password-reset", [202, 202, 202, 202, 401, 401, 202]),
    ("post", "password-reset/confirm", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "refresh", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "sign-up", [202, 202, 202, 202, 401, 401, 202]),
    ("post", "sign-up/confirm", [401, 401, 401, 401, 401, 401, 401]),
    ("post", "token", [401, 401, 401, 401, 401, 401, 401]),
    ("put", "users/{id}/roles/{role}", [401, 403, 403, 204, 401, 401, 403]),
];

pub(super) const PREFIX: &str = "/api/v1/auth/";

/// The mutations of GraphQL that change what operations of the table change, with their arguments.
pub(crate) const MUTATIONS: &[(&str, &str, &str, &str)] = &[
    // One line each.
    ("endSession", "delete", "users/{id}/sessions/{session_id}", r#"sessionId: "{nil}""#),
    ("grantRole", "put", "users/{id}/roles/{role}", r#"role: "support""#),
    ("revokeRole", "delete", "users/{id}/roles/{role}", r#"role: "support""#),
    ("revokeUserApiKey", "delete", "users/{id}/api-keys/{key_id}", r#"keyId: "{nil}""#),
];

/// The tokens of the callers, and whose access is asked about.
pub(super) struct Callers {
    stranger: Session,
    owner: Session,
    admin: Session,
    ended: Session,
    expired: String,
    key: String,
    ada: Uuid,
    /// Somebody who holds no token here, because a change of roles revokes those of its user.
    bob: Uuid,
}

impl Callers {
    pub(super) async fn of(site: &Site) -> Self {
        let (ada, owner) = site.signed_in("ada@example.com").await;
        let (_, stranger) = site.signed_in("grace@example.com").await;
        let (_, admin) = site.with_role("admin@example.com", "admin").await;
        let bob = site.user("bob@example.com", PASSWORD).await;
        let ended = site.log_in("ada@example.com", PASSWORD).await.session();
        site.post_token("log-out", &ended.refresh).await;
        let wanted = json!({"name": "k", "scopes": "products:read"});
        let made = site.as_user(&owner, "POST", "api-keys", Some(wanted)).await;
        let key = json!({"api_key": made.body["data"]["api_key"]});
        let key = json_request("POST", "/api/v1/auth/token", &key).by_nobody();
        let key = site.shop.send(key).await.ok()["access_token"].as_str().unwrap().to_owned();
        let expired = expired(ada, access::Grants::all());
        Self { stranger, owner, admin, ended, expired, key, ada, bob }
    }

    /// The user whose access an operation is about.
    fn about(&self, path: &str) -> Uuid {
        if path.ends_with("{role}") { self.bob } else { self.ada }
    }

    /// The request for an operation, without a caller.
    pub(super) fn request(&self, method: &str, path: &str, sent: u8) -> Request<Body> {
        let (user, nil) = (self.about(path), Uuid::nil().to_string());
        let real = path.replace("users/{id}", &format!("users/{user}"));
        let real = real.replace("{role}", "support").replace("{id}", &nil);
        let real = real.replace("{key_id}", &nil).replace("{session_id}", &nil);
        let (method, real) = (method.to_uppercase(), format!("{PREFIX}{real}"));
        match body(path, sent) {
            body if method == "POST" => json_request(&method, &real, &body),
            _ => {
                let request = Request::builder().method(method.as_str()).uri(&real);
                request.body(Body::empty()).unwrap()
            }
        }
    }

    /// The request of this caller, from an address of its own, so that none is throttled.
    pub(super) fn send(&self, caller: &str, sent: u8, request: Request<Body>) -> Request<Body> {
        let mut request = match caller {
            "anonymous" => request.by_nobody(),
            "stranger" => request.with_token(&self.stranger.access),
            "owner" => request.with_token(&self.owner.access),
            "admin" => request.with_token(&self.admin.access),
            "expired" => request.with_token(&self.expired),
            "revoked" => request.with_token(&self.ended.access),
            _ => request.with_token(&self.key),
        };
        request.extensions_mut().insert(ClientAddress(Some([192, 0, 2, sent].into())));
        request
    }
}

/// A valid body for an operation. Proofs in it are wrong, and each request is about another
/// account.
fn body(path: &str, request: u8) -> Value {
    let nobody = format!("nobody{request}@example.com");
    let (token, password) = ("x", "another long password");
    match path {
        "api-keys" => json!({"name": "tests", "scopes": "products:read"}),
        "email" => json!({"email": "new@example.com", "password": PASSWORD}),
        "email/confirm" => json!({"token": token}),
        "log-in" => json!({"email": nobody, "password": password, "client": "web"}),
        "log-out" | "log-out-everywhere" | "refresh" => json!({"refresh_token": token}),
        "password" => json!({"current_password": password, "new_password": password}),
        "password-reset" => json!({"email": nobody}),
        "password-reset/confirm" | "sign-up/confirm" => {
            json!({"token": token, "password": password, "client": "web"})
        }
        "sign-up" => json!({"email": nobody, "name": "New"}),
        "token" => json!({"api_key": token}),
        _ => Value::Null,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_of_identity_answers_everybody_as_the_table_says() {
    let rows: BTreeSet<_> = TABLE.iter().map(|(method, path, _)| (*method, *path)).collect();
    // The operations are the same in all versions: one router has them all.
    for version in Version::ALL {
        let document = serde_json::to_value(document(version)).unwrap();
        let prefix = format!("{}/auth/", version.prefix());
        let paths = document["paths"].as_object().unwrap().iter();
        let operations: BTreeSet<(&str, &str)> = paths
            .filter_map(|(path, item)| Some((path.strip_prefix(&prefix)?, item)))
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |method| (method.as_str(), path))
            })
            .collect();
        assert_eq!(operations, rows, "each operation has a row in the table of this file");
    }

    let document = serde_json::to_value(document(Version::V1)).unwrap();
    let site = Site::new().await;
    let callers = Callers::of(&site).await;
    let mut sent = 0_u8;
    for (method, path, expected) in TABLE {
        for (caller, status) in CALLERS.iter().zip(expected) {
            sent += 1;
            let request = callers.send(caller, sent, callers.request(method, path, sent));
            let reply = site.shop.send(request).await;
            assert_eq!(reply.status, *status, "{caller}: {method} {path}: {:#}", reply.body);
            let described = &document["paths"][format!("{PREFIX}{path}")][method];
            let described = &described["responses"][status.to_string()];
            assert!(described.is_object(), "{method} {path} lacks {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutation_of_access_answers_everybody_as_its_operation_does() {
    let site = Site::new().await;
    let callers = Callers::of(&site).await;
    let nil = Uuid::nil().to_string();
    for (field, method, path, arguments) in MUTATIONS {
        let expected = TABLE.iter().find(|row| (row.0, row.1) == (*method, *path)).unwrap().2;
        for (caller, status) in CALLERS.iter().zip(expected) {
            let user = callers.about(path);
            let arguments = arguments.replace("{nil}", &nil);
            let query = format!(
                r#"mutation {{ {field}(userId: "{user}", {arguments}) {{
                    user {{ id }} errors {{ code }} }} }}"#
            );
            let request = callers.send(caller, 1, graphql(&query));
            let reply = site.shop.send(request).await;
            let payload = &reply.body["data"][field];
            let shown = format!("{caller}: {field}: {:#}", reply.body);
            match status {
                204 => {
                    assert_eq!(payload["user"]["id"], json!(user), "{shown}");
                    assert_eq!(payload["errors"], json!([]), "{shown}");
                }
                404 => assert_eq!(payload["errors"][0]["code"], "not-found", "{shown}"),
                _ => {
                    // A token that is not valid is refused before GraphQL.
                    let of_field = &reply.body["errors"][0]["extensions"]["status"];
                    let refused = of_field.as_u64().unwrap_or(reply.status.as_u16().into());
                    assert_eq!(refused, u64::from(status), "{shown}");
                    assert!(payload.is_null(), "{shown}");
                }
            }
        }
    }
    assert_eq!(site.user_roles(callers.bob).await, Vec::<String>::new());
    let admin = callers.send("admin", 1, graphql(
        r#"mutation { grantRole(userId: "nothing", role: "support") { errors { code field } } }"#,
    ));
    let reply = site.shop.send(admin).await;
    let errors = &reply.body["data"]["grantRole"]["errors"];
    assert_eq!(errors[0]["field"], json!(["userId"]), "{:#}", reply.body);
}
