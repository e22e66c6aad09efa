//! Tests of payment, shipment, delivery and refunds of orders.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::tokens::By as _;
use crate::support::{NOW, Shop, json_request};

struct Sold {
    shop: Shop,
    user: String,
    order: String,
}

impl Sold {
    /// A shop with a confirmed order of 29.34 USD.
    async fn new() -> Self {
        let shop = Shop::new();
        let (user, product) = (shop.user("ada@example.com").await, shop.product("14.67").await);
        let order = shop.order(&user, &product).await;
        let sold = Self { shop, user, order };
        sold.shop.act(&sold.path("confirm")).await.ok();
        sold
    }

    fn path(&self, verb: &str) -> String {
        format!("/api/v1/orders/{}/{verb}", self.order)
    }

    async fn record(&self, verb: &str) {
        self.shop.post(&self.path(verb), json!({"reason": "seen"})).await.ok();
    }

    /// The last event of the order.
    async fn last(&self) -> (String, Value) {
        let log = self.shop.log().await;
        log.into_iter().rfind(|(event_type, _)| event_type.starts_with("order.")).unwrap()
    }
}

#[tokio::test]
async fn an_order_is_paid_shipped_and_delivered_with_a_reason_and_evidence() {
    let sold = Sold::new().await;
    let (shop, order, user) = (&sold.shop, &sold.order, &sold.user);
    let total = json!({"minor": 2934, "currency": "USD"});
    shop.act(&sold.path("request-payment")).await.ok();
    let requested = json!({"order_id": order, "user_id": user, "amount": total});
    assert_eq!(sold.last().await, ("order.payment_requested".to_owned(), requested));
    let before = shop.log().await.len();
    shop.act(&sold.path("request-payment")).await.ok();
    assert_eq!(shop.log().await.len(), before, "a repeat changes nothing");
    let body = json!({"reason": " seen on the bank statement ", "evidence": "pay_7"});
    shop.post(&sold.path("record-payment"), body).await.ok();
    let paid = json!({"order_id": order, "user_id": user, "amount": total, "ordered_at": NOW,
        "reason": "seen on the bank statement", "evidence": "pay_7"});
    assert_eq!(sold.last().await, ("order.paid".to_owned(), paid));
    sold.record("ship").await;
    sold.record("deliver").await;
    let delivered = json!({"order_id": order, "user_id": user, "reason": "seen"});
    assert_eq!(sold.last().await, ("order.delivered".to_owned(), delivered));
}

#[tokio::test]
async fn each_step_waits_for_the_one_before() {
    let sold = Sold::new().await;
    let refused = async |verb: &str, code: &str| {
        let reply = sold.shop.post(&sold.path(verb), json!({"reason": "seen"})).await;
        reply.problem(409, code);
    };
    refused("ship", "order/not-paid").await;
    refused("deliver", "order/not-shipped").await;
    sold.record("record-payment").await;
    refused("record-payment", "order/not-confirmed").await;
    sold.shop.act(&sold.path("request-payment")).await.problem(409, "order/not-confirmed");
    sold.record("ship").await;
    sold.shop.act(&sold.path("cancel")).await.problem(409, "order/not-cancellable");
}

#[tokio::test]
async fn refunds_are_at_most_what_was_paid() {
    let sold = Sold::new().await;
    let refund = async |amount: &str, currency: &str| {
        let body = json!({"amount": amount, "currency": currency, "reason": "scratched"});
        sold.shop.post(&sold.path("refund"), body).await
    };
    refund("1.00", "USD").await.problem(409, "order/nothing-paid");
    sold.record("record-payment").await;
    refund("29.34", "USD").await.problem(409, "order/cancel-first");
    refund("10.00", "USD").await.ok();
    let too_much = refund("19.35", "USD").await;
    too_much.problem(409, "order/refund-too-large");
    assert_eq!(too_much.body["detail"], "only 19.34 USD are left of the payment");
    refund("1.00", "EUR").await.problem(409, "order/refund");
    refund("0", "USD").await.wrong(&[("/amount", "money/zero")]);
    refund("1.001", "USD").await.wrong(&[("/amount", "money/too-precise")]);
    refund("1", "XXZ").await.wrong(&[("/currency", "currency/unknown")]);
    sold.shop.act(&sold.path("cancel")).await.ok();
    refund("19.34", "USD").await.ok();
    let (event_type, event) = sold.last().await;
    assert_eq!(
        (event_type.as_str(), &event["refunded"]["minor"]),
        ("order.refunded", &json!(2934))
    );
    refund("0.01", "USD").await.problem(409, "order/refund-too-large");
}

#[tokio::test]
async fn a_record_has_a_short_reason_and_evidence_in_one_word() {
    let sold = Sold::new().await;
    let wrong = async |body: Value, expected: &[(&str, &str)]| {
        sold.shop.post(&sold.path("record-payment"), body).await.wrong(expected);
    };
    wrong(json!({"reason": ""}), &[("/reason", "reason/empty")]).await;
    wrong(json!({"reason": "a\nb"}), &[("/reason", "reason/control-character")]).await;
    let body = json!({"reason": "x".repeat(501), "evidence": "two words"});
    wrong(body, &[("/reason", "reason/too-long"), ("/evidence", "evidence/malformed")]).await;
    let absent = format!("/api/v1/orders/{}/ship", Uuid::now_v7());
    sold.shop.post(&absent, json!({"reason": "seen"})).await.problem(404, "not-found");
}

#[tokio::test]
async fn nobody_records_anything_about_their_own_order() {
    let sold = Sold::new().await;
    let before = sold.shop.log().await.len();
    let refund = json!({"amount": "1.00", "currency": "USD", "reason": "seen"});
    let request = |verb: &str| match verb {
        "refund" => json_request("POST", &sold.path(verb), &refund),
        _ => json_request("POST", &sold.path(verb), &json!({"reason": "seen"})),
    };
    for verb in ["record-payment", "ship", "deliver", "refund"] {
        let plain = sold.shop.send(request(verb).by(&sold.user)).await;
        plain.problem(403, "insufficient-scope");
        let staff = request(verb).by_holder_of(&sold.user, "orders:fulfil");
        sold.shop.send(staff).await.problem(403, "order/own");
    }
    assert_eq!(sold.shop.log().await.len(), before);
    let other = Uuid::now_v7().to_string();
    sold.shop.send(request("record-payment").by_holder_of(&other, "orders:fulfil")).await.ok();
    let request = json_request("POST", &sold.path("request-payment"), &json!({}));
    sold.shop.send(request.by(&other)).await.problem(404, "not-found");
}
