//! Who may run which command, over HTTP.

mod email;
pub(crate) mod graphql;
mod matrix;

use std::time::Duration;

use access::{Caller, Grants, Permission, Principal};
use axum::body::Body;
use axum::http::Request;
use command_api::application::use_case::{Decision, UseCase, Work};
use command_api::application::{CommandError, Context};
use domain::order::{CancelReason, Order, OrderCommand};
use identity::{Holder, MAX_LIFETIME, Revocations, Subject};
use serde_json::json;
use uuid::Uuid;

use crate::support::tokens::{ADMIN, By as _, SESSION, issuer};
use crate::support::{Reply, Shop, With as _, json_request};

/// A user with an order, and another user.
struct Two {
    shop: Shop,
    ada: String,
    grace: String,
    product: String,
    order: String,
}

impl Two {
    async fn new() -> Self {
        let shop = Shop::new();
        let (ada, grace) = (shop.user("ada@example.com").await, shop.user("g@example.com").await);
        let product = shop.product("1.00").await;
        let order = shop.order(&ada, &product).await;
        Self { shop, ada, grace, product, order }
    }

    /// A request to place an order of this user.
    fn placing(&self, user: &str) -> Request<Body> {
        let lines = json!([{"product_id": self.product, "quantity": 1}]);
        json_request("POST", "/api/v1/orders", &json!({"user_id": user, "lines": lines}))
    }
}

fn post(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

/// Makes a request about an order and a user.
type RequestOf<'r> = dyn Fn(&str, &str) -> Request<Body> + 'r;

/// The body without what differs between any two answers.
fn comparable(reply: &Reply) -> serde_json::Value {
    let mut body = reply.body.clone();
    for field in ["request_id", "instance"] {
        body[field].take();
    }
    body
}

#[tokio::test]
async fn a_user_changes_what_is_theirs_and_of_others_learns_nothing() {
    let Two { shop, ada, grace, order, .. } = Two::new().await;
    let line = json!({"product_id": Uuid::now_v7(), "quantity": 1});
    let absent = Uuid::now_v7().to_string();
    let requests: [&RequestOf<'_>; 7] = [
        &|order, _| post(&format!("/api/v1/orders/{order}/confirm")),
        &|order, _| post(&format!("/api/v1/orders/{order}/cancel")),
        &|order, _| post(&format!("/api/v1/orders/{order}/cancel?dry_run=true")),
        // A precondition tells nothing of a version either.
        &|order, _| post(&format!("/api/v1/orders/{order}/confirm")).with("if-match", "\"7\""),
        &|order, _| post(&format!("/api/v1/orders/{order}/confirm")).with("if-none-match", "*"),
        &|order, _| json_request("POST", &format!("/api/v1/orders/{order}/lines"), &line),
        &|_, user| json_request("PATCH", &format!("/api/v1/users/{user}"), &json!({"name": "Eve"})),
    ];
    for request in requests {
        let theirs = shop.send(request(&order, &ada).by(&grace)).await;
        let nothing = shop.send(request(&absent, &absent).by(&grace)).await;
        theirs.problem(404, "not-found");
        assert_eq!(comparable(&theirs), comparable(&nothing));
    }
    shop.send(post(&format!("/api/v1/orders/{order}/confirm")).by(&ada)).await.ok();
    let body = json!({"name": "Ada King"});
    let rename = || json_request("PATCH", &format!("/api/v1/users/{ada}"), &body);
    shop.send(rename().by(&ada)).await.ok();
    let types = shop.types().await;
    assert_eq!(types[types.len() - 2..], ["order.confirmed", "user.renamed"]);
}

#[tokio::test]
async fn an_order_is_placed_for_oneself_and_for_others_like_for_nobody() {
    let two = Two::new().await;
    two.shop.send(two.placing(&two.ada).by(&two.ada)).await.made();
    let theirs = two.shop.send(two.placing(&two.grace).by(&two.ada)).await;
    theirs.wrong(&[("/user_id", "user/unknown")]);
    let nobody = two.shop.send(two.placing(&Uuid::now_v7().to_string()).by(&two.ada)).await;
    assert_eq!(comparable(&theirs), comparable(&nobody));
    let support = two.placing(&two.ada).by_holder_of(&two.grace, "orders:write");
    two.shop.send(support).await.made();
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_to_and_who_lacks_a_permission_which_one() {
    let two = Two::new().await;
    let refused = two.shop.send(two.placing(&two.ada).by_nobody()).await;
    refused.problem(401, "sign-in");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let product = json!({"name": "lp", "unit_price": "1.00", "currency": "USD"});
    let add = || json_request("POST", "/api/v1/products", &product);
    let refused = two.shop.send(add().by(&two.ada)).await;
    refused.problem(403, "insufficient-scope");
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer error=\"insufficient_scope\", scope=\"products:write\""
    );
    // Nobody can be hidden who is not there yet.
    let register = json!({"email": "eve@example.com", "name": "Eve"});
    let register = json_request("POST", "/api/v1/users", &register).by(&two.ada);
    two.shop.send(register).await.problem(403, "insufficient-scope");
    two.shop.send(add().by_holder_of(&two.ada, "products:write")).await.made();
}

/// A use case that changes an order without [`Work::target`], and does not say whose it is.
struct Careless {
    order_id: Uuid,
}

impl UseCase for Careless {
    const NAME: &'static str = "careless";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.repository.load::<Order>(work.epoch, self.order_id).await?;
        let events = order.decide([OrderCommand::Cancel(CancelReason::Staff.into())])?;
        Ok(work.changes(&order, &events)?.into())
    }
}

#[tokio::test]
async fn a_use_case_that_forgets_to_ask_whose_it_is_changes_nothing_for_an_owner() {
    let Two { shop, ada, order, .. } = Two::new().await;
    let (id, order_id) = (ada.parse().unwrap(), order.parse().unwrap());
    let own = Caller {
        principal: Principal::User { id },
        grants: "orders:write.own".parse().unwrap(),
        ..Caller::anonymous()
    };
    let all = Caller { grants: Grants::all(), ..own.clone() };
    let run =
        async |caller| shop.application.run(Careless { order_id }, Context::new(caller)).await;
    assert!(matches!(run(own).await, Err(CommandError::Hidden)));
    assert!(run(all).await.is_ok());
}

#[tokio::test]
async fn a_permission_is_checked_before_the_content() {
    let two = Two::new().await;
    let wrong = json!({"name": "", "unit_price": "x", "currency": "?"});
    let wrong = json_request("POST", "/api/v1/products", &wrong).by(&two.ada);
    two.shop.send(wrong).await.problem(403, "insufficient-scope");
}

#[tokio::test]
async fn a_token_that_is_not_valid_never_counts_as_none() {
    let shop = Shop::new();
    let holder = Holder {
        user: ADMIN,
        credential: SESSION,
        client: "tests".to_owned(),
        grants: Grants::all(),
        roles: Vec::new(),
    };
    let now = identity::Moment::of_seconds(identity::now());
    let past = now.plus_seconds(-3_600);
    let expired = issuer().issue(&holder, past, MAX_LIFETIME).unwrap();
    let valid = issuer().issue(&holder, now, Duration::from_mins(1)).unwrap();
    for token in ["x", &expired, &format!("{valid}x")] {
        for request in [post("/api/v1/orders/1/confirm"), get("/openapi.json")] {
            let refused = shop.send(request.with_token(token)).await;
            refused.problem(401, "invalid-token");
            assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        }
    }
    shop.send(get("/openapi.json").with_token(&valid)).await;
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn one_principal_never_meets_the_idempotency_keys_of_another() {
    let two = Two::new().await;
    let placing = |user: &str| two.placing(user).by(user).with("idempotency-key", "k");
    let first = two.shop.send(placing(&two.ada)).await.made();
    let other = two.shop.send(placing(&two.grace)).await;
    assert_ne!(other.made(), first);
    assert_eq!(other.header("idempotent-replayed"), "");
    let again = two.shop.send(placing(&two.ada)).await;
    assert_eq!((again.made(), again.header("idempotent-replayed")), (first, "true"));
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_everybody_can_learn_it() {
    let shop = Shop::new();
    let user = Uuid::now_v7();
    let confirm = || post(&format!("/api/v1/orders/{user}/confirm")).by(&user.to_string());
    shop.send(confirm()).await.problem(404, "not-found");
    shop.revocations.revoke(Subject::User(user), identity::Moment::of_seconds(identity::now() + 1));
    shop.send(confirm()).await.problem(401, "invalid-token");
    let list = shop.send(get("/.well-known/revocations.json").by_nobody()).await;
    let elsewhere = Revocations::default();
    elsewhere.learn(list.body.to_string().as_bytes()).unwrap();
    let now = identity::Moment::of_seconds(identity::now());
    assert_eq!(elsewhere.published(now), shop.revocations.published(now));
    assert_eq!(list.body["revocations"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_public_keys_are_there_for_everybody_and_nothing_secret_with_them() {
    let shop = Shop::new();
    let answer = shop.send(get("/.well-known/jwks.json").by_nobody()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/jwk-set+json");
    assert_eq!(answer.body, serde_json::to_value(issuer().keys().published()).unwrap());
    let key = answer.body["keys"][0].as_object().unwrap();
    let names: Vec<&str> = key.keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"]);
}
