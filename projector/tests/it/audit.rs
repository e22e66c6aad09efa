//! Who did what: the rows of `audit`, written down by hand.

use domain::product::event::{ProductEvent, ProductStockReceived};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::life::registered;
use crate::support::{contents, everything, happening, log_of, read_model, runner};

const USER: Uuid = Uuid::from_u128(1);
const PRODUCT: Uuid = Uuid::from_u128(2);
const SESSION: Uuid = Uuid::from_u128(3);
const COMMAND: Uuid = Uuid::from_u128(4);

#[tokio::test]
async fn p7_each_event_has_a_row_that_says_who_did_it_with_what_and_through_which_client() {
    let received = ProductStockReceived { product_id: PRODUCT, units: 3, stock: 8 };
    let received = ProductEvent::StockReceived(received);
    let (nobody, mut clerk) =
        (happening("user", USER, &registered(USER)), happening("product", PRODUCT, &received));
    clerk.1.metadata.actor = Some(format!("user:{USER}"));
    clerk.1.metadata.credential_id = Some(SESSION);
    clerk.1.metadata.client_id = Some("warehouse".to_owned());
    clerk.1.metadata.causation_id = Some(COMMAND);
    let (first, second) = (nobody.1.id, clerk.1.id);
    let store = log_of(vec![nobody, clerk]).await;
    let database = read_model().await;
    runner(store.clone(), database.url()).run_once().await.unwrap();
    let mut rows = contents(database.url()).await["audit"].take();
    let events = everything(store.as_ref()).await;
    for (row, event) in rows.as_array_mut().unwrap().iter_mut().zip(&events) {
        let Value::String(shown) = row["recorded_at"].take() else { panic!("{row}") };
        let shown = shown.parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        // As Postgres keeps times: to the microsecond.
        assert_eq!(shown.timestamp_micros(), event.recorded_at.timestamp_micros());
    }
    let unknown = json!({"id": first, "recorded_at": null, "event_type": "user.registered",
        "stream": format!("user-{USER}"), "principal": null, "credential_id": null,
        "client": null, "correlation_id": USER, "causation_id": null, "position": 1});
    let known = json!({"id": second, "recorded_at": null,
        "event_type": "product.stock_received", "stream": format!("product-{PRODUCT}"),
        "principal": format!("user:{USER}"), "credential_id": SESSION, "client": "warehouse",
        "correlation_id": PRODUCT, "causation_id": COMMAND, "position": 2});
    assert_eq!(rows, json!([unknown, known]));
}
