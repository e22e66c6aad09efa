//! Until when the rows of a projection are complete.

use std::sync::Arc;
use std::time::Duration;

use event_feed::{Follower, FollowerSettings};
use event_store::EventStore;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::life::registered;
use crate::support::{
    ask_about, happening, happening_of, log_of, read_model, runner, until, until_all_at,
};

/// The longest time between two confirmations while nothing happens, in seconds. It leaves time for
/// a machine under load.
const CONFIRMED_WITHIN: f64 = 10.0;
/// In seconds since 1970; nothing if it is not known.
const COMPLETE_UNTIL: &str = "SELECT EXTRACT(EPOCH FROM min(complete_until))::float8
    FROM read_model.checkpoints WHERE projection = $1";
const NOW: &str = "SELECT EXTRACT(EPOCH FROM now())::float8 WHERE $1 <> ''";

/// A process that projects a log until it is dropped.
struct Running(CancellationToken);

impl Running {
    fn start(store: Arc<dyn EventStore>, url: &str) -> Self {
        let settings = FollowerSettings {
            idle_report: Duration::from_millis(100),
            poll_interval: Duration::from_millis(20),
            ..FollowerSettings::default()
        };
        let (drain, mut runner) = (CancellationToken::new(), runner(Arc::clone(&store), url));
        let (stop, follower) = (drain.clone(), Follower::new(store, None, settings));
        tokio::spawn(async move { runner.run(follower, stop).await });
        Self(drain)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn rows_at_the_head_are_confirmed_again_and_again() {
    let user = Uuid::from_u128(1);
    let store = log_of(vec![happening("user", user, &registered(user))]).await;
    let database = read_model().await;
    let url = database.url();
    let _running = Running::start(store, url);
    until_all_at(url, 1).await;
    let began: f64 = ask_about(url, NOW, "now").await;
    for name in crate::support::projections() {
        until("two more confirmations", || async {
            let known: Option<f64> = ask_about(url, COMPLETE_UNTIL, name).await;
            known.is_some_and(|known| known > began + 2.0)
        })
        .await;
        let (known, now): (Option<f64>, f64) =
            (ask_about(url, COMPLETE_UNTIL, name).await, ask_about(url, NOW, "now").await);
        let age = now - known.unwrap();
        assert!((0.0..CONFIRMED_WITHIN).contains(&age), "{name}: {age} s");
    }
}

#[tokio::test]
async fn rows_that_lack_an_event_are_not_complete_although_the_others_are() {
    let (user, product) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let unreadable = json!({"from": "the future"});
    let store = log_of(vec![
        happening("user", user, &registered(user)),
        happening_of("product", product, "product.repriced", 99, &unreadable, Vec::new()),
    ])
    .await;
    let database = read_model().await;
    let url = database.url();
    let _running = Running::start(store, url);
    let complete_until =
        async |name: &str| -> Option<f64> { ask_about(url, COMPLETE_UNTIL, name).await };
    until("the users to be complete", || async { complete_until("users").await.is_some() }).await;
    let (users, products) = (complete_until("users").await, complete_until("products").await);
    until("two more confirmations", || async {
        complete_until("users").await > users.map(|users| users + 2.0)
    })
    .await;
    assert_eq!(complete_until("products").await, products);
    assert!(products < complete_until("users").await, "{products:?} {users:?}");
}
