//! Who changes the e-mail address that a user logs in with, by every interface.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::Two;
use super::graphql::{graphql, graphql_code, rest_code};
use crate::support::tokens::By as _;
use crate::support::{Reply, json_request};

const NEEDS_PROOF: &str = "user/email-needs-proof";
const PRESENT: &str = "ada@example.com";

/// The code of a refusal, wherever an interface puts it; null for none.
type Code = fn(&Reply) -> Value;

/// A request of each interface that gives Ada this address, as a dry run or not.
fn requests(user: &str, email: &str, dry: bool) -> Vec<(Request<Body>, Code)> {
    let path = format!("/api/v1/users/{user}?dry_run={dry}");
    let whole = json!({"email": email, "name": "Ada"});
    let command = json!({"type": "changeUser", "id": user, "data": {"email": email}});
    let batch = |atomic: bool| {
        let body = json!({"commands": [command], "atomic": atomic});
        json_request("POST", &format!("/api/v1/commands?dry_run={dry}"), &body)
    };
    let input = format!(r#"id: "{user}", input: {{email: "{email}"}}, dryRun: {dry}"#);
    let mutation = format!("mutation {{ updateUser({input}) {{ errors {{ code }} }} }}");
    let in_batch: Code = |reply| {
        let result = &reply.body["data"]["results"][0];
        let code = &result["problem"]["code"];
        if code.is_null() { result["refusal"]["code"].clone() } else { code.clone() }
    };
    vec![
        (json_request("PATCH", &path, &json!({"email": email})), rest_code),
        (json_request("PUT", &path, &whole), rest_code),
        (batch(false), in_batch),
        (batch(true), in_batch),
        (graphql(&mutation), |reply| graphql_code(reply, "updateUser")),
    ]
}

#[tokio::test]
async fn who_may_change_only_their_own_data_changes_the_address_by_no_interface() {
    let Two { shop, ada, .. } = Two::new().await;
    let before = shop.types().await;
    // A taken address is refused like a free one, so that nobody learns which ones there are.
    for email in ["new@example.com", "g@example.com", "ada@example.com.evil.example"] {
        for dry in [false, true] {
            for by_key in [false, true] {
                for (request, code) in requests(&ada, email, dry) {
                    let request = if by_key {
                        request.by_holder_of(&ada, "users:write.own")
                    } else {
                        request.by(&ada)
                    };
                    let asked = format!("{} {}", request.method(), request.uri());
                    let reply = shop.send(request).await;
                    assert_eq!(code(&reply), NEEDS_PROOF, "{asked} {:#}", reply.body);
                }
            }
        }
    }
    let path = format!("/api/v1/users/{ada}");
    let patch = json_request("PATCH", &path, &json!({"email": "new@example.com"})).by(&ada);
    let refused = shop.send(patch).await;
    refused.problem(403, NEEDS_PROOF);
    assert!(refused.body["detail"].as_str().unwrap().contains("askEmailChange"));
    let types = shop.types().await;
    assert_eq!(types, before, "nothing happened");
}

#[tokio::test]
async fn the_address_that_one_has_may_be_named_again() {
    let Two { shop, ada, .. } = Two::new().await;
    for email in [PRESENT, "ADA@example.com"] {
        for dry in [true, false] {
            for (request, code) in requests(&ada, email, dry) {
                let asked = format!("{} {}", request.method(), request.uri());
                let reply = shop.send(request.by(&ada)).await;
                assert_eq!((reply.status.as_u16(), code(&reply)), (200, Value::Null), "{asked}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_change_everybody_changes_the_address_and_a_stranger_learns_nothing() {
    let Two { shop, ada, grace, .. } = Two::new().await;
    for (index, (request, code)) in requests(&ada, "e@example.com", false).into_iter().enumerate() {
        let reply = shop.send(request.by(&grace)).await;
        let hidden = code(&reply);
        assert!(hidden == "not-found" || hidden == "hidden", "{index}: {:#}", reply.body);
    }
    for index in 0..requests(&ada, "", false).len() {
        let email = format!("new{index}@example.com");
        let (request, code) = requests(&ada, &email, false).swap_remove(index);
        let reply = shop.send(request.by_holder_of(&grace, "users:write")).await;
        assert_eq!((reply.status.as_u16(), code(&reply)), (200, Value::Null), "{:#}", reply.body);
    }
    let changed = shop.types().await;
    assert_eq!(changed.iter().filter(|name| *name == "user.email_changed").count(), 5);
}
