//! How often a client may ask: the setting RATE_LIMITS over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use event_store::MemoryStore;
use local_servers::{in_time, test_client};
use serde_json::{Value, json};
use service_kit::http::{Limits, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::support::tokens::By as _;
use crate::support::{Reply, Shop, ShopOptions, json_request};

const ADA: &str = "0190b3a2-0000-7000-8000-0000000000a1";
const GRACE: &str = "0190b3a2-0000-7000-8000-0000000000a2";
const PRODUCTS: &str = "/api/v1/products";
const THREE: &str = "1/3";
/// So many requests are more than a rate of one a second lets through, also on a slow machine.
const MANY: usize = 60;

fn shop(rates: &'static str) -> Shop {
    Shop::over(Arc::new(MemoryStore::new()), ShopOptions { rates, ..ShopOptions::default() })
}

async fn ask(shop: &Shop, user: &str, path: &str, body: Value) -> Reply {
    shop.send(json_request("POST", path, &body).by(user)).await
}

/// A request of a user that is refused, but counts.
async fn refused(shop: &Shop, user: &str) -> Reply {
    ask(shop, user, PRODUCTS, json!({"name": "x", "unit_price": "1.00", "currency": "USD"})).await
}

/// The first answer that says that the user sends too many.
async fn exhausted(shop: &Shop, user: &str) -> Reply {
    for _ in 0..MANY {
        let reply = refused(shop, user).await;
        if reply.status == 429 {
            reply.problem(429, "rate-limited");
            return reply;
        }
        assert_eq!(reply.status, 403);
    }
    panic!("{MANY} requests at once, and none was refused");
}

#[tokio::test]
async fn a_user_has_a_rate_and_learns_what_is_left_and_others_have_theirs() {
    let shop = shop(THREE);
    let first = refused(&shop, ADA).await;
    assert_eq!(first.status, 403);
    assert_eq!(first.header("ratelimit-policy"), "\"default\";q=3;w=3");
    assert_eq!(first.header("ratelimit"), "\"default\";r=2;t=1");
    let reply = exhausted(&shop, ADA).await;
    assert_eq!(reply.header("retry-after"), "1");
    assert!(reply.header("ratelimit").contains(";r=0;"));
    assert_eq!(refused(&shop, GRACE).await.status, 403);
    // Those without a token count by their address, and not as any user.
    let body = json!({"name": "x", "unit_price": "1.00", "currency": "USD"});
    shop.send(json_request("POST", PRODUCTS, &body).by_nobody()).await.problem(401, "sign-in");
}

#[tokio::test]
async fn a_command_counts_whichever_way_it_comes() {
    let shop = shop(THREE);
    let command = json!({"type": "confirmOrder", "id": ADA});
    let reply = ask(&shop, ADA, "/api/v1/commands", json!({"commands": vec![command; MANY]})).await;
    let statuses: Vec<_> =
        reply.ok()["results"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses[0], 404);
    assert!(statuses.contains(&&json!(429)), "{statuses:?}");
    let mut graphql = Vec::new();
    for _ in 0..MANY {
        graphql.push(ask(&shop, ADA, "/graphql", json!({"query": "{ __typename }"})).await.status);
    }
    assert!(graphql.iter().any(|status| *status == 429), "{graphql:?}");
    // Each mutation of a document counts, as each command of a batch does.
    let mutations = |wanted: usize| {
        let fields: Vec<_> = (0..wanted)
            .map(|at| format!("m{at}: confirmOrder(orderId: \"{ADA}\") {{ errors {{ code }} }}"))
            .collect();
        json!({"query": format!("mutation {{ {} }}", fields.join(" "))})
    };
    let reply = ask(&shop, GRACE, "/graphql", mutations(20)).await;
    let errors = reply.body["errors"].as_array().unwrap();
    let limited = |error: &Value| error["extensions"]["code"] == "rate-limited";
    assert!(errors.iter().any(limited), "{:#}", reply.body);
    let free = json_request("GET", "/.well-known/jwks.json", &json!(null)).by(ADA);
    assert_eq!(shop.send(free).await.status, 200, "the other API asks for it every 2 seconds");
}

#[tokio::test]
async fn an_operation_with_a_rate_of_its_own_counts_alone() {
    let shop = shop("off, addProduct=1/1");
    let reply = refused(&shop, ADA).await;
    assert_eq!(reply.header("ratelimit-policy"), "\"addProduct\";q=1;w=1");
    exhausted(&shop, ADA).await;
    for _ in 0..MANY {
        let reply = ask(&shop, ADA, "/api/v1/users", json!({})).await;
        assert_ne!(reply.status, 429);
        assert_eq!(reply.header("ratelimit"), "");
    }
}

#[tokio::test]
async fn who_is_not_signed_in_counts_by_their_address() {
    let rates = command_api::http::rates(&"1/1".parse().unwrap()).unwrap();
    let routes = Router::new().route("/", get(async || "done")).layer(identity::limits(rates));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let trusted_proxies = "127.0.0.1".parse().unwrap();
    let (limits, drain) =
        (Limits { trusted_proxies, ..Limits::default() }, CancellationToken::new());
    let server = tokio::spawn(serve(listener, routes, limits, drain.clone()));
    let status = async |client: &str| {
        let request = test_client().get(&url).header("x-forwarded-for", client);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("192.0.2.1").await, 200);
    assert_eq!(status("192.0.2.2").await, 200, "another address has a rate of its own");
    // One request a second comes back, so a few may get through on a slow machine.
    let mut refused = false;
    for _ in 0..MANY {
        refused |= status("192.0.2.1").await == 429;
    }
    assert!(refused);
    drain.cancel();
    in_time("the drained port's end", server).await.unwrap();
}

#[tokio::test]
async fn a_command_has_one_rate_whichever_operation_or_mutation_carries_it_out() {
    let place = json!({"user_id": ADA, "lines": []});
    let mutation = json!({"query": format!("mutation {{ placeOrder(input: {{
        userId: \"{ADA}\", lines: []}}) {{ errors {{ code }} }} }}")});
    let ways = [
        ("/api/v1/orders".to_owned(), place.clone()),
        ("/api/v2/orders".to_owned(), place.clone()),
        ("/api/orders".to_owned(), place),
        (format!("/api/v1/users/{ADA}/orders"), json!({"lines": []})),
        ("/graphql".to_owned(), mutation),
        (
            "/api/v1/commands".to_owned(),
            json!({"commands": [
            {"type": "placeOrderOfUser", "id": ADA, "data": {"lines": []}}]}),
        ),
    ];
    for (first, body) in &ways {
        let shop = shop("off, placeOrder=1/1");
        let reply = ask(&shop, ADA, first, body.clone()).await;
        assert!(!reply.body.to_string().contains("rate-limited"), "{first}: {:#}", reply.body);
        for (path, body) in &ways {
            let reply = ask(&shop, ADA, path, body.clone()).await;
            let is_limited = reply.body.to_string().contains("rate-limited");
            assert!(is_limited, "{first}, then {path}: {:#}", reply.body);
        }
    }
}

#[tokio::test]
async fn a_change_of_a_user_has_one_rate_whatever_part_it_changes() {
    let shop = shop("off, changeUser=1/1");
    let path = |part: &str| format!("/api/v2/users/{ADA}{part}");
    let change = async |method: &str, part: &str| {
        shop.send(json_request(method, &path(part), &json!({})).by(ADA)).await
    };
    let first = change("PATCH", "").await;
    assert_ne!(first.status, 429, "{:#}", first.body);
    for method in ["PUT", "PATCH"] {
        for part in ["/profile", "/preferences"] {
            change(method, part).await.problem(429, "rate-limited");
        }
    }
}

#[tokio::test]
async fn a_request_without_an_operation_or_with_a_false_token_counts_for_its_address() {
    for (path, status) in [
        ("/api/v1/products", 401),
        ("/api/v1/nothing", 404),
        ("/api/nothing", 404),
        ("/api/v1/orders/import", 405),
        ("/openapi.json", 200),
        ("/docs/", 200),
    ] {
        let shop = shop(THREE);
        let mut last = 0;
        for _ in 0..MANY {
            let method = if status == 401 { "POST" } else { "GET" };
            let request = axum::http::Request::builder().method(method).uri(path);
            let request = match status {
                401 => request.header("authorization", "Bearer bad.token.x"),
                _ => request,
            };
            let request = request.body(axum::body::Body::empty()).unwrap().by_nobody();
            last = shop.status(request).await;
            if last == 429 {
                break;
            }
            assert_eq!(last, status, "{path}");
        }
        assert_eq!(last, 429, "{path}");
    }
}
