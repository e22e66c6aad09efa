//! Tests of aggregates with long streams, in the cache and as snapshots. Commands get the same
//! state as without them.

use std::sync::Arc;

use command_api::application::repository::{Repository, registry};
use domain::Aggregate;
use domain::product::Product;
use event_store::{
    Append, AsOf, CacheLimits, EventStore, ExpectedVersion, Metadata, NewEvent, PostgresOptions,
    PostgresStore, SnapshotPolicy, SnapshotStore as _, StateLoader, StreamAppend, UpcastingLog,
    Version, postgres,
};
use local_servers::TestDatabase;
use serde_json::json;
use uuid::Uuid;

use crate::support::{Shop, ShopOptions};

/// Appends this many events to a product. Each adds one to its stock.
async fn adjust(store: &dyn EventStore, product: &str, from: i64, times: i64) {
    let metadata = Metadata::new(Uuid::nil());
    let adjusted = |stock: i64| {
        let data = json!({"product_id": product, "delta": 1, "stock": stock});
        NewEvent::json("product.stock_adjusted".parse().unwrap(), 1, &data, metadata.clone())
            .unwrap()
    };
    let events = (from + 1..=from + times).map(adjusted).collect();
    let stream = format!("product-{product}").parse().unwrap();
    let streams = vec![StreamAppend { stream, expected: ExpectedVersion::Any, events }];
    store.append(Append { streams, ..Append::default() }).await.unwrap();
}

fn repository(store: &Arc<PostgresStore>) -> Repository {
    let log = UpcastingLog::new(Arc::clone(store) as _, Arc::new(registry().unwrap()));
    let states = StateLoader::new(log, CacheLimits::default());
    Repository::over(states.with_snapshots(Arc::clone(store) as _, SnapshotPolicy::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_with_a_long_life_is_the_same_from_its_events_from_a_snapshot_and_from_memory() {
    let fingerprint = postgres::schema_fingerprint();
    let migrate = |url: String| async move { Ok(postgres::migrate(&url).await?) };
    let database = TestDatabase::create("command_api", &fingerprint, migrate).await;
    let url = database.url_in_group("event_store_appender").await;
    let store =
        Arc::new(PostgresStore::connect(PostgresOptions::from_url(&url).unwrap()).await.unwrap());
    let shop = Shop::over(Arc::clone(&store) as _, ShopOptions::default());
    let product = shop.product("1.50").await;
    let id: Uuid = product.parse().unwrap();
    adjust(store.as_ref(), &product, 10, 900).await;

    let first = repository(&store);
    let epoch = first.epoch().await.unwrap();
    let from_events = first.load::<Product>(epoch, id).await.unwrap();
    let stream = format!("product-{product}").parse().unwrap();
    let shape = <Product as Aggregate>::SNAPSHOT.unwrap().shape;
    let kept = async {
        while store.snapshot(&stream, shape, epoch).await.unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), kept)
        .await
        .expect("the snapshot is kept in time");
    let from_snapshot = repository(&store).load::<Product>(epoch, id).await.unwrap();
    let from_memory = first.load::<Product>(epoch, id).await.unwrap();
    assert_eq!(from_events.version, Version(901));
    for other in [from_snapshot, from_memory] {
        assert_eq!(format!("{other:?}"), format!("{from_events:?}"));
    }

    // The shop sees events of another process, and a command gets the newest version.
    let adjusted =
        shop.post(&format!("/api/v1/products/{product}/stock"), json!({"delta": -910})).await;
    assert_eq!(adjusted.ok()["version"], 902);
    adjust(store.as_ref(), &product, 0, 3).await;
    let refused =
        shop.post(&format!("/api/v1/products/{product}/stock"), json!({"delta": -4})).await;
    refused.problem(409, "product/not-enough-stock");
    let then = first.load_as_of::<Product>(id, AsOf::Version(Version(450))).await.unwrap();
    assert!(
        then.version == Version(450) && format!("{then:?}").contains("on_hand: 459"),
        "{then:?}"
    );
}
