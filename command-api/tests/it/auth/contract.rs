//! The contract of version 1 for identity: what each operation answers to everybody, and once with
//! success. The golden files are those of `contract.rs`.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use command_api::http::{Version, document};
use serde_json::{Value, json};

use super::matrix::{CALLERS, Callers, PREFIX, TABLE};
use super::support::{PASSWORD, Session, Site};
use crate::contract::Answers;
use crate::support::json_request;
use crate::support::tokens::By as _;

const EMAIL: &str = "new@example.com";
const NEXT: &str = "another long password";

/// The answers of all operations of identity, by their ids.
struct Contract {
    document: Value,
    answers: BTreeMap<String, Answers>,
}

impl Contract {
    fn of(&mut self, method: &str, path: &str) -> &mut Answers {
        let described = &self.document["paths"][format!("{PREFIX}{path}")][method];
        let id = described["operationId"].as_str().unwrap().to_owned();
        self.answers.entry(id).or_default()
    }

    /// Sends a request that succeeds, and returns the data of its answer.
    async fn succeed(
        &mut self,
        site: &Site,
        (method, path): (&str, &str),
        request: Request<Body>,
    ) -> Value {
        let reply = site.shop.send(request).await;
        assert!(reply.status.is_success(), "{method} {path}: {:#}", reply.body);
        self.of(method, path).add("success", &reply);
        reply.body["data"].clone()
    }

    /// Posts a body that succeeds without a token.
    async fn post(&mut self, site: &Site, path: &str, body: Value) -> Value {
        let request = json_request("POST", &format!("{PREFIX}{path}"), &body).by_nobody();
        self.succeed(site, ("post", path), request).await
    }

    /// Sends a request of a session that succeeds. `real` is the path with its ids.
    async fn by(
        &mut self,
        (site, session): (&Site, &Session),
        (method, path): (&str, &str),
        real: &str,
        body: Option<Value>,
    ) -> Value {
        let (verb, real) = (method.to_uppercase(), format!("{PREFIX}{real}"));
        let request = if let Some(body) = body {
            json_request(&verb, &real, &body)
        } else {
            let request = Request::builder().method(verb.as_str()).uri(real);
            request.body(Body::empty()).unwrap()
        };
        self.succeed(site, (method, path), request.with_token(&session.access)).await
    }
}

fn session(data: &Value) -> Session {
    let text = |name: &str| data[name].as_str().unwrap().to_owned();
    Session { access: text("access_token"), refresh: text("refresh_token"), id: text("session_id") }
}

/// What everybody is answered.
async fn everybody(contract: &mut Contract) {
    let site = Site::new().await;
    let callers = Callers::of(&site).await;
    let mut sent = 0_u8;
    for (method, path, _) in TABLE {
        for caller in CALLERS {
            sent += 1;
            let request = callers.send(caller, sent, callers.request(method, path, sent));
            let reply = site.shop.send(request).await;
            contract.of(method, path).add(caller, &reply);
        }
        if *method == "post" {
            let full_path = format!("{PREFIX}{path}");
            for (case, body) in [("an empty object", "{}"), ("malformed JSON", "{")] {
                let request = Request::post(&full_path).header("content-type", "application/json");
                let request = request.body(Body::from(body)).unwrap();
                let reply = site.shop.send(callers.send("owner", sent, request)).await;
                contract.of(method, path).add(case, &reply);
            }
        }
    }
}

/// The way of a user through all that takes a proof.
async fn with_proofs(contract: &mut Contract) {
    let site = Site::new().await;
    contract.post(&site, "sign-up", json!({"email": EMAIL, "name": "New"})).await;
    let token = site.mailed_token(EMAIL).await;
    let proof = json!({"token": token, "password": PASSWORD});
    contract.post(&site, "sign-up/confirm", proof).await;
    let credentials = json!({"email": EMAIL, "password": PASSWORD, "client": "web"});
    let first = contract.post(&site, "log-in", credentials).await;
    let token = json!({"refresh_token": first["refresh_token"]});
    let first = session(&contract.post(&site, "refresh", token).await);
    let asked = json!({"email": "next@example.com", "password": PASSWORD});
    contract.by((&site, &first), ("post", "email"), "email", Some(asked)).await;
    let token = site.newest_mailed_token("next@example.com").await;
    contract.post(&site, "email/confirm", json!({"token": token})).await;
    let change = json!({"current_password": PASSWORD, "new_password": NEXT});
    contract.by((&site, &first), ("post", "password"), "password", Some(change)).await;
    contract.post(&site, "password-reset", json!({"email": "next@example.com"})).await;
    let token = site.newest_mailed_token("next@example.com").await;
    let proof = json!({"token": token, "password": PASSWORD});
    let next = session(&contract.post(&site, "password-reset/confirm", proof).await);
    let wanted = json!({"name": "k", "scopes": "products:read"});
    let made = contract.by((&site, &next), ("post", "api-keys"), "api-keys", Some(wanted)).await;
    contract.post(&site, "token", json!({"api_key": made["api_key"]})).await;
    contract.by((&site, &next), ("get", "api-keys"), "api-keys", None).await;
    let key = format!("api-keys/{}", made["id"].as_str().unwrap());
    contract.by((&site, &next), ("delete", "api-keys/{id}"), &key, None).await;
    let token = json!({"refresh_token": next.refresh});
    contract.post(&site, "log-out-everywhere", token.clone()).await;
    contract.post(&site, "log-out", token).await;
}

/// What an administrator does with a user.
async fn administration(contract: &mut Contract) {
    let site = Site::new().await;
    let (user, theirs) = site.signed_in("ada@example.com").await;
    let (_, admin) = site.with_role("admin@example.com", "admin").await;
    let wanted = json!({"name": "k", "scopes": "products:read"});
    let key = site.as_user(&theirs, "POST", "api-keys", Some(wanted)).await;
    let key = key.body["data"]["id"].as_str().unwrap().to_owned();
    let at = |rest: &str| format!("users/{user}/{rest}");
    let by = (&site, &admin);
    for (method, path, real) in [
        ("get", "users/{id}/roles", at("roles")),
        ("get", "users/{id}/sessions", at("sessions")),
        ("get", "users/{id}/api-keys", at("api-keys")),
        ("put", "users/{id}/roles/{role}", at("roles/support")),
        ("delete", "users/{id}/roles/{role}", at("roles/support")),
        ("delete", "users/{id}/sessions/{session_id}", at(&format!("sessions/{}", theirs.id))),
        ("delete", "users/{id}/api-keys/{key_id}", at(&format!("api-keys/{key}"))),
    ] {
        contract.by(by, (method, path), &real, None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_of_identity_in_version_1_are_frozen() {
    let document = serde_json::to_value(document(Version::V1)).unwrap();
    let mut contract = Contract { document, answers: BTreeMap::new() };
    everybody(&mut contract).await;
    with_proofs(&mut contract).await;
    administration(&mut contract).await;
    for (operation, answers) in contract.answers {
        assert!(answers.has("success"), "{operation} never succeeded");
        answers.check(&operation);
    }
}
