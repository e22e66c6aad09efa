//! Erasures of persons who have open orders, with real processes and servers.

use local_servers::{PATIENCE, finish, test_client};
use serde_json::{Value, json};

use crate::operations::{ERASED, asked, call, count, ended, erasure, running, user};
use crate::process::{Process, command};
use crate::support::tokens;

const CANCELLED: &str =
    "SELECT count(*) FROM event_store.events WHERE event_type = 'order.cancelled'";
/// The events in which an address can be read.
const READABLE: &str = "SELECT count(*) FROM event_store.events WHERE data::text LIKE '%Ring 1%'";

async fn create(process: &Process, path: &str, body: Value) -> String {
    let request = test_client().post(format!("{}{path}", process.api)).bearer_auth(tokens::admin());
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let answer: Value = answer.json().await.unwrap();
    answer["data"]["id"].as_str().unwrap().to_owned()
}

/// Places an order of this user.
async fn order(process: &Process, user: &str) -> String {
    let product = json!({"name": "cd", "unit_price": "1.00", "currency": "USD", "stock": 10});
    let product = create(process, "/api/v1/products", product).await;
    let lines = json!([{"product_id": product, "quantity": 1}]);
    let address = json!({"recipient": "Ada", "street": "Ring 1", "city": "Wien", "country": "AT"});
    let body = json!({"user_id": user, "lines": lines, "shipping_address": address});
    create(process, "/api/v1/orders", body).await
}

/// The answer to a command on an order that has no body.
async fn act(process: &Process, order: &str, action: &str) -> (u16, Value) {
    let path = format!("{}/api/v1/orders/{order}/{action}", process.api);
    let answer = test_client().post(path).bearer_auth(tokens::admin()).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_is_refused_while_an_order_is_open_and_names_it() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let order = order(&process, &subject).await;
    let (status, refused) = call(&process, "", Some(erasure(&subject))).await;
    assert_eq!((status, &refused["code"]), (409, &json!("user/open-orders")), "{refused:#}");
    assert!(refused["detail"].as_str().unwrap().contains(&order), "{refused:#}");
    let (_, list) = call(&process, "", None).await;
    assert_eq!(list["data"], json!([]), "no operation is recorded");
    // The direct way refuses, too.
    let mut direct = command();
    direct.env("EVENT_STORE_URL", database.url()).env("SUBJECT_KEYS_URL", database.url());
    direct.args(["erase-subject", &subject, "--by", "op-9"]);
    let output = finish(&mut direct, PATIENCE).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains(&order), "{error}");
    assert_eq!(count(database.url(), ERASED).await, 0);
    assert_eq!(act(&process, &order, "cancel").await.0, 200);
    let id = asked(&process, erasure(&subject)).await;
    assert_eq!(ended(&process, &id).await["state"], "succeeded");
    assert_eq!(count(database.url(), ERASED).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_orders_are_cancelled_with_an_erasure_that_says_so() {
    let (database, process) = running().await;
    let subject = user(&process).await;
    let orders = [order(&process, &subject).await, order(&process, &subject).await];
    let words = ["--cancel-open-orders", "--by", "op-7", "--reason", "ticket 12"];
    let mut erase = command();
    erase.args(["erase-subject", &subject, "--json", "--admin", &process.admin]).args(words);
    let output = finish(&mut erase, PATIENCE).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let proof: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(proof["key_destroyed"], true, "{proof:#}");
    assert_eq!(count(database.url(), CANCELLED).await, 2);
    assert_eq!(count(database.url(), ERASED).await, 1);
    // Nobody reads the addresses any more, but the orders can still be read.
    assert_eq!(count(database.url(), READABLE).await, 0);
    for order in orders {
        let (status, refused) = act(&process, &order, "confirm").await;
        assert_eq!((status, &refused["code"]), (409, &json!("order/not-pending")), "{refused:#}");
    }
}
