//! Tests of the open orders of a user: they are counted in the append that changes an order, and
//! nobody is erased while one is open.

use std::sync::{Arc, OnceLock};

use access::Policy;
use axum::body::Body;
use axum::http::Request;
use command_api::application::{OpenOrders, SettleError, Settlement};
use domain::user_orders::{MAX_OPEN_ORDERS, UserOrdersError};
use local_servers::{in_time, test_run};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::postgres::{at_once, database, shop};
use crate::support::{Reply, Shop, json_request};

/// A shop with a user and a product.
struct Stocked {
    shop: Shop,
    user: String,
    product: String,
}

impl Stocked {
    async fn new() -> Self {
        Self::of(Shop::new()).await
    }

    async fn of(shop: Shop) -> Self {
        let (user, product) = (shop.user("ada@example.com").await, shop.product("1.00").await);
        Self { shop, user, product }
    }

    fn place(&self) -> Request<Body> {
        let lines = json!([{"product_id": self.product, "quantity": 1}]);
        json_request("POST", "/api/v1/orders", &json!({"user_id": self.user, "lines": lines}))
    }

    async fn placed(&self) -> String {
        self.shop.send(self.place()).await.made()
    }

    async fn act(&self, order: &str, verb: &str) {
        let body = match verb {
            "confirm" | "cancel" => json!({}),
            "refund" => json!({"reason": "lost", "amount": "1.00", "currency": "USD"}),
            _ => json!({"reason": "seen"}),
        };
        self.shop.post(&format!("/api/v1/orders/{order}/{verb}"), body).await.ok();
    }

    fn import(&self) -> Value {
        json!({"user_id": self.user, "ordered_at": "1997-01-12T00:00:00Z", "currency": "USD",
            "lines": [{"product_id": self.product, "quantity": 1, "unit_price": "1.00"}]})
    }

    async fn settle(&self, open: OpenOrders) -> Result<(), SettleError> {
        settlement(&self.shop).settle(self.user.parse().unwrap(), open).await
    }
}

fn settlement(shop: &Shop) -> Settlement {
    let commands = shop.application.commands.get().unwrap();
    let commands = Arc::new(OnceLock::from(Arc::clone(commands)));
    Settlement::new(commands, Arc::new(Policy::default())).unwrap()
}

#[track_caller]
fn names(refused: Result<(), SettleError>, order: &str) {
    let Err(SettleError::Open(UserOrdersError::Open { first, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(first.to_string(), order);
}

/// The types of the events of open orders.
async fn counted(shop: &Shop) -> Vec<String> {
    let mut types = shop.types().await;
    types.retain(|name| name.starts_with("user_orders."));
    types
}

#[tokio::test]
async fn an_order_is_opened_when_it_is_placed_and_closed_with_its_end() {
    const PAID: [&str; 3] = ["confirm", "record-payment", "ship"];
    let ways: [&[&str]; 4] = [
        &["cancel"],
        &["confirm", "cancel"],
        &[PAID[0], PAID[1], PAID[2], "deliver"],
        &[PAID[0], PAID[1], PAID[2], "refund"],
    ];
    for way in ways {
        let stocked = Stocked::new().await;
        let (shop, order) = (&stocked.shop, stocked.placed().await);
        let log = shop.log().await;
        assert_eq!(log[log.len() - 2].0, "order.placed");
        let about = json!({"user_id": stocked.user, "order_id": order});
        assert_eq!(log[log.len() - 1], ("user_orders.opened".to_owned(), about.clone()));
        let (last, before) = way.split_last().unwrap();
        for verb in before {
            stocked.act(&order, verb).await;
            names(stocked.settle(OpenOrders::Refuse).await, &order);
        }
        assert_eq!(counted(shop).await, ["user_orders.opened"], "{way:?}");
        stocked.act(&order, last).await;
        let closed = ("user_orders.closed".to_owned(), about);
        assert!(shop.log().await.contains(&closed), "{way:?}");
        stocked.settle(OpenOrders::Refuse).await.unwrap();
    }
}

#[tokio::test]
async fn no_order_is_placed_or_imported_once_the_orders_of_a_user_have_ended() {
    let stocked = Stocked::new().await;
    let shop = &stocked.shop;
    shop.post("/api/v1/orders/import", stocked.import()).await.made();
    assert_eq!(counted(shop).await, [""; 0], "an imported order is not open");
    for _ in 0..2 {
        stocked.settle(OpenOrders::Refuse).await.unwrap();
    }
    assert_eq!(counted(shop).await, ["user_orders.ended"]);
    shop.send(stocked.place()).await.problem(409, "user/erased");
    shop.post("/api/v1/orders/import", stocked.import()).await.problem(409, "user/erased");
    assert_eq!(counted(shop).await, ["user_orders.ended"]);
}

#[tokio::test]
async fn open_orders_are_cancelled_on_demand_unless_one_cannot_be() {
    let stocked = Stocked::new().await;
    let (pending, shipped) = (stocked.placed().await, stocked.placed().await);
    for verb in ["confirm", "record-payment", "ship"] {
        stocked.act(&shipped, verb).await;
    }
    let before = stocked.shop.log().await;
    let refused = stocked.settle(OpenOrders::Cancel).await;
    let Err(SettleError::NotCancellable { order_id, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(order_id.to_string(), shipped);
    assert_eq!(stocked.shop.log().await, before, "no order is cancelled");
    stocked.act(&shipped, "deliver").await;
    stocked.settle(OpenOrders::Cancel).await.unwrap();
    let cancelled = stocked.shop.log().await;
    let cancelled = cancelled.iter().find(|(name, _)| name == "order.cancelled").unwrap();
    assert_eq!(cancelled.1["order_id"], pending);
    assert_eq!(counted(&stocked.shop).await.pop().unwrap(), "user_orders.ended");
}

#[tokio::test]
async fn a_user_has_a_limited_number_of_open_orders() {
    let stocked = Stocked::new().await;
    let first = stocked.placed().await;
    for _ in 1..MAX_OPEN_ORDERS {
        stocked.placed().await;
    }
    stocked.shop.send(stocked.place()).await.problem(409, "user/too-many-open-orders");
    stocked.act(&first, "cancel").await;
    // The orders of a batch count, too.
    let line = json!({"product_id": stocked.product, "quantity": 1});
    let data = json!({"user_id": stocked.user, "lines": [line]});
    let place = json!({"type": "placeOrder", "data": data});
    let both = json!({"commands": [place, place], "atomic": true});
    let reply = stocked.shop.post("/api/v1/commands", both).await;
    let refused = &reply.ok()["results"][1];
    assert_eq!(refused["problem"]["code"], "user/too-many-open-orders", "{refused:#}");
    stocked.placed().await;
}

/// The numbers of opened and of placed orders, and whether one was opened after an event of this
/// type.
async fn opened(shop: &Shop, last: &str) -> (usize, usize, bool) {
    let types = shop.types().await;
    let count = |wanted: &str| types.iter().filter(|name| *name == wanted).count();
    let end = types.iter().position(|name| name == last);
    let is_late =
        end.is_some_and(|end| types[end..].iter().any(|name| name == "user_orders.opened"));
    (count("user_orders.opened"), count("order.placed"), is_late)
}

fn made(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.status == 201).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_who_order_while_the_user_is_deactivated_none_orders_afterwards() {
    for _ in 0..test_run().count(3, 1_000) {
        let database = database().await;
        let shops = [shop(&database).await, shop(&database).await];
        let stocked = Stocked::of(shops[0].clone()).await;
        let request = |number: usize| {
            if number == 8 {
                let path = format!("/api/v1/users/{}", stocked.user);
                return Request::delete(path).body(Body::empty()).unwrap();
            }
            stocked.place()
        };
        let mut replies = at_once(&shops, 17, request).await;
        replies.remove(8).ok();
        let placed = made(&replies);
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            reply.problem(409, "user/deactivated");
        }
        assert_eq!(opened(&shops[0], "user.deactivated").await, (placed, placed, false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_who_order_while_the_user_is_erased_none_has_an_open_order_afterwards() {
    for round in 0..test_run().count(4, 1_000) {
        let database = database().await;
        let shops = [shop(&database).await, shop(&database).await];
        let stocked = Stocked::of(shops[0].clone()).await;
        let open = if round % 2 == 0 { OpenOrders::Refuse } else { OpenOrders::Cancel };
        let user: Uuid = stocked.user.parse().unwrap();
        let (settlement, orders) =
            (settlement(&shops[1]), at_once(&shops, 16, |_| stocked.place()));
        let both = async { tokio::join!(settlement.settle(user, open), orders) };
        let (settled, replies) = in_time("the orders and their end", both).await;
        let placed = made(&replies);
        let (opened, all, is_late) = opened(&shops[0], "user_orders.ended").await;
        assert_eq!((opened, all, is_late), (placed, placed, false), "round {round}");
        let closed = counted(&shops[0]).await;
        let closed = closed.iter().filter(|name| *name == "user_orders.closed").count();
        match settled {
            Ok(()) => assert_eq!(closed, placed, "round {round}: an order is open"),
            Err(error) => assert!(error.is_refusal() && closed < placed, "round {round}: {error}"),
        }
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            reply.problem(409, "user/erased");
        }
    }
}
