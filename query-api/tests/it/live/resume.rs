//! A stream that goes on behind the last event of another one.

use std::collections::BTreeMap;

use query_api::live::Live;
use query_api::position::Watcher;
use query_api::read::Reader;
use rand::seq::IndexedRandom as _;
use tokio_util::sync::CancellationToken;

use super::events::Events;
use crate::support::{App, LIVE, Setup, UserSeed, follow};

/// Another process on the same tables.
fn another(app: &App) -> (axum::Router, tokio_util::sync::DropGuard) {
    let (stop, watcher) = (CancellationToken::new(), Watcher::default());
    let live = Live::new(LIVE, stop.clone());
    let router = Setup { live: live.clone(), ..Setup::new(&app.pools) }
        .router(app.pools.clone(), watcher.clone());
    follow(live, Reader::new(app.pools.clone(), watcher), stop.clone());
    (router, stop.drop_guard())
}

/// Adds so many copies of each order, whose changes come after all others.
pub(super) async fn change_many(app: &App, copies: i32) {
    let mut all = app.writer.begin().await.unwrap();
    let add = "INSERT INTO orders_g1.orders SELECT (o).* FROM (SELECT jsonb_populate_record(o,
            jsonb_build_object('id', gen_random_uuid(), 'position', 200 + n)) AS o
         FROM orders_g1.orders AS o, generate_series(1, $1) AS n) AS more";
    sqlx::query(add).bind(copies).execute(&mut *all).await.unwrap();
    let moved = "UPDATE read_model.checkpoints SET position = 5000 WHERE projection = 'orders'";
    sqlx::query(moved).execute(&mut *all).await.unwrap();
    all.commit().await.unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_behind_any_event_in_any_process_without_gap_or_repeat() {
    let app = App::silent(3).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let mut orders = Vec::new();
    for number in 0..20 {
        orders.push(app.add_order(user, "pending", number).await);
    }
    let path = "/api/v1/orders?page_size=100";
    let mut events = Events::of(&app, path).await;
    // What a client that always stays would have.
    let mut shown: BTreeMap<String, i64> =
        events.snapshot().await.into_iter().map(|row| (row, 9)).collect();
    let (mut written, mut position) = (shown.clone(), 100);
    for round in 0..12 {
        // The connection breaks at some event, and changes go on while nobody is connected.
        let id = events.last_id();
        drop(events);
        for _ in 0..7 {
            let order = *orders.choose(&mut rand::rng()).unwrap();
            position += 1;
            app.set_status(order, "paid", position).await;
            written.insert(order.to_string(), position);
        }
        let (router, stop) = another(&app);
        events = Events::after(if round % 2 == 0 { &app.router } else { &router }, path, &id).await;
        let mut missed = events.until("resumed").await;
        missed.pop();
        let mut last = 0;
        for event in missed {
            let (name, _, at) = event.short();
            assert!(name == "changed" && at > last, "{event:?} after {last}");
            let before = shown.insert(event.row().to_owned(), at);
            assert!(before.is_some_and(|before| before < at), "{event:?} came before");
            last = at;
        }
        assert_eq!(shown, written);
        // It goes on live in the middle of a position, too.
        let order = orders[round];
        position += 1;
        app.set_status(order, "shipped", position).await;
        written.insert(order.to_string(), position);
        let event = events.event().await.unwrap();
        assert_eq!(event.short(), ("changed", "shipped", position));
        shown.insert(event.row().to_owned(), position);
        if round % 2 == 1 {
            // The other process ends.
            drop(stop);
            assert_eq!(events.event().await.unwrap().code(), "shutting-down");
            assert_eq!(events.event().await, None);
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_between_two_rows_of_one_position_goes_on_with_the_second() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    for number in 0..2 {
        app.add_order(user, "pending", number).await;
    }
    let mut events = Events::of(&app, "/api/v1/orders").await;
    events.snapshot().await;
    sqlx::raw_sql(
        "BEGIN; UPDATE orders_g1.orders SET position = 101;
         UPDATE read_model.checkpoints SET position = 101 WHERE projection = 'orders'; COMMIT",
    )
    .execute(&app.writer)
    .await
    .unwrap();
    let first = events.event().await.unwrap();
    let second = events.event().await.unwrap();
    let mut resumed =
        Events::after(&app.router, "/api/v1/orders", first.id.as_ref().unwrap()).await;
    let seen = resumed.until("resumed").await;
    assert_eq!((seen.len(), seen[0].row()), (2, second.row()));
    let one = format!("/api/v1/orders/{}", first.row());
    for (id, expected) in [(first.id.unwrap(), 1), (second.id.unwrap(), 1)] {
        let mut resumed = Events::after(&app.router, &one, &id).await;
        assert_eq!(resumed.until("resumed").await.len(), expected, "{id} has it");
    }
}

#[tokio::test]
async fn a_row_that_left_while_nobody_was_connected_is_named_when_the_stream_goes_on() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let path = "/api/v1/orders?status=paid";
    let mut events = Events::of(&app, path).await;
    events.snapshot().await;
    let id = events.last_id();
    drop(events);
    app.set_status(order, "shipped", 101).await;
    let mut events = Events::after(&app.router, path, &id).await;
    let seen = events.until("resumed").await;
    assert_eq!((seen[0].short().0, seen[0].row()), ("left", order.to_string().as_str()));
}

#[tokio::test]
async fn an_id_that_cannot_be_resumed_is_told_and_a_snapshot_follows() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "paid", 0).await;
    let mut events = Events::of(&app, "/api/v1/orders").await;
    events.snapshot().await;
    let id = events.last_id();
    let other_epoch = id.replace(&app.epoch.simple().to_string(), &"1".repeat(32));
    let future = id.replacen("100.", "999.", 1);
    let stale = format!("{id}.stale");
    for (id, code) in [
        ("nonsense", "unknown-event"),
        (&other_epoch, "tables-switched"),
        (&future, "unknown-position"),
        (&stale, "stale-rows"),
    ] {
        for path in ["/api/v1/orders", &format!("/api/v1/orders/{order}")] {
            let mut events = Events::after(&app.router, path, id).await;
            let reset = events.event().await.unwrap();
            assert_eq!((reset.name.as_str(), reset.code()), ("reset", code), "{id}");
            assert_eq!(events.snapshot().await, [order.to_string()]);
        }
    }
    // Too much changed to be read again for a single client.
    change_many(&app, 2_500).await;
    let mut events = Events::after(&app.router, "/api/v1/orders", &id).await;
    assert_eq!(events.event().await.unwrap().code(), "too-many-changes");
    assert_eq!(events.snapshot().await.len(), 20);
}
