//! How many streams there may be, and how slowly a client may read.

use query_api::live::{Live, LiveSettings};
use query_api::position::Watcher;
use query_api::read::Reader;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::events::{Events, refused};
use super::resume::change_many;
use crate::support::tokens::{admin, with_role};
use crate::support::{App, LIVE, Setup, UserSeed, follow};

/// Serves with these limits.
pub(crate) async fn limited(settings: LiveSettings) -> App {
    at_rates(settings, "off").await
}

/// The same with these rates.
pub(crate) async fn at_rates(settings: LiveSettings, limits: &'static str) -> App {
    let mut app = App::silent(2).await;
    let (stop, watcher) = (CancellationToken::new(), Watcher::default());
    let live = Live::new(settings, stop.clone());
    app.router = Setup { live: live.clone(), limits, ..Setup::new(&app.pools) }
        .router(app.pools.clone(), watcher.clone());
    follow(live, Reader::new(app.pools.clone(), watcher), stop);
    app
}

#[tokio::test]
async fn streams_beyond_the_limit_of_a_client_or_of_the_process_are_refused_and_requests_are_not() {
    let app = limited(LiveSettings { streams: 3, per_client: 2, ..LIVE }).await;
    let path = "/api/v1/products";
    let (one, two) = (with_role(Uuid::from_u128(1), "user"), with_role(Uuid::from_u128(2), "user"));
    let of = async |token: &str| Events::open(&app.router, Some(token), path, None).await;
    let [first, _second] = [of(&one).await, of(&one).await];
    let answer = refused(&app, Some(&one), path).await;
    let code = &answer.body["code"];
    assert_eq!((answer.status.as_u16(), code), (429, &"too-many-streams-of-client".into()));
    assert_eq!(answer.header("retry-after"), "5");
    let _third = of(&two).await;
    let answer = refused(&app, Some(&two), path).await;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (503, &"too-many-streams".into()));
    assert_eq!(app.get(path).await.status, 200, "requests have room");
    drop(first);
    let _fourth = of(&one).await;
}

#[tokio::test]
async fn a_stream_that_is_refused_takes_no_place() {
    let app = limited(LiveSettings { streams: 1, ..LIVE }).await;
    let absent = format!("/api/v1/orders/{}", Uuid::now_v7());
    for _ in 0..3 {
        assert_eq!(refused(&app, Some(&admin()), &absent).await.status, 404);
    }
    for (path, status) in
        [("/api/v1/orders?status=paid&wrong=1", 422), ("/api/v1/orders?consistency_token=x", 400)]
    {
        let answer = refused(&app, Some(&admin()), path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
    }
    Events::of(&app, "/api/v1/orders").await.snapshot().await;
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_is_dropped_and_goes_on_where_it_was() {
    let app = limited(LiveSettings { buffer_bytes: 4_096, ..LIVE }).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let path = format!("/api/v1/orders/{order}");
    let (mut slow, mut fast) = (Events::of(&app, &path).await, Events::of(&app, &path).await);
    assert_eq!(slow.snapshot().await, fast.snapshot().await);
    let changes = 101..=140;
    for position in changes.clone() {
        app.set_status(order, "paid", position).await;
        // The fast client reads each change before the next one, the slow one reads nothing.
        assert_eq!(fast.event().await.unwrap().short(), ("changed", "paid", position));
    }
    let mut seen = slow.until("end").await;
    assert_eq!(seen.pop().unwrap().code(), "too-slow");
    assert_eq!(slow.event().await, None);
    let positions: Vec<i64> = seen.iter().map(|event| event.short().2).collect();
    let held = i64::try_from(positions.len()).unwrap();
    assert_eq!(positions, (101..101 + held).collect::<Vec<_>>(), "what it got has no gap");
    assert!(held > 0 && held < 40, "{positions:?}");
    let mut again = Events::after(&app.router, &path, &slow.last_id()).await;
    let missed = again.until("resumed").await;
    assert_eq!(missed[0].short(), ("changed", "paid", 140), "the row as it is now");
    assert_eq!(missed.len(), 2);
}

#[tokio::test]
async fn a_client_that_missed_more_than_may_be_held_for_it_begins_again() {
    let app = limited(LiveSettings { buffer_bytes: 4_096, ..LIVE }).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    app.add_order(user, "paid", 0).await;
    let mut events = Events::of(&app, "/api/v1/orders").await;
    events.snapshot().await;
    let id = events.last_id();
    drop(events);
    change_many(&app, 100).await;
    let mut again = Events::after(&app.router, "/api/v1/orders", &id).await;
    assert_eq!(again.event().await.unwrap().code(), "too-many-changes");
    assert_eq!(again.snapshot().await.len(), 20);
}
