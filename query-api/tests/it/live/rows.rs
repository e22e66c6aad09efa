//! What a stream shows: a snapshot, changes, rows that leave, are erased or marked stale, and
//! switches.

use sqlx::AssertSqlSafe;

use super::events::Events;
use crate::support::{App, UserSeed};
use crate::switch::SWITCH;

#[tokio::test]
async fn a_row_is_followed_from_what_its_answer_shows_through_each_of_its_changes() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let other = app.add_order(user, "pending", 1).await;
    let path = format!("/api/v1/orders/{order}");
    let mut events = Events::of(&app, &path).await;
    let first = events.until("complete").await;
    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(first[0].short(), ("row", "pending", 100));
    assert_eq!(first[0].data["data"], app.get(&path).await.body["data"]);
    assert_eq!(first[1].data["meta"]["epoch"], app.epoch.to_string());
    assert!(first[1].id.as_ref().is_some_and(|id| id.starts_with("100.")), "{first:?}");
    app.set_status(other, "confirmed", 101).await;
    for (status, position) in [("confirmed", 102), ("paid", 103), ("shipped", 110)] {
        app.set_status(order, status, position).await;
        let event = events.event().await.unwrap();
        assert_eq!(event.short(), ("changed", status, position));
        assert_eq!(event.data["data"], app.get(&path).await.body["data"]);
    }
}

#[tokio::test]
async fn a_list_is_followed_as_its_filter_says_and_rows_that_leave_it_are_named() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let paid = app.add_order(user, "paid", 0).await;
    let pending = app.add_order(user, "pending", 1).await;
    let mut of_paid = Events::of(&app, "/api/v1/orders?status=paid").await;
    let mut of_user = Events::of(&app, &format!("/api/v1/users/{user}/orders")).await;
    let mut of_nobody =
        Events::of(&app, &format!("/api/v1/orders?user_id={paid}&status=paid")).await;
    assert_eq!(of_paid.snapshot().await, [paid.to_string()]);
    assert_eq!(of_user.snapshot().await.len(), 2);
    assert!(of_nobody.snapshot().await.is_empty());
    // It neither was nor is paid at first, so the first stream does not show it.
    for (order, status, position) in [
        (pending, "confirmed", 101),
        (paid, "shipped", 102),
        (pending, "paid", 103),
        (paid, "delivered", 104),
        (pending, "paid", 105),
    ] {
        app.set_status(order, status, position).await;
        assert_eq!(of_user.event().await.unwrap().short(), ("changed", status, position));
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(of_paid.event().await.unwrap());
    }
    let short: Vec<_> = seen.iter().map(|event| (event.row(), event.short())).collect();
    let (paid, pending) = (paid.to_string(), pending.to_string());
    assert_eq!(
        short,
        [
            (paid.as_str(), ("left", "", 102)),
            (pending.as_str(), ("changed", "paid", 103)),
            (pending.as_str(), ("changed", "paid", 105)),
        ]
    );
}

#[tokio::test]
async fn several_rows_of_one_batch_come_in_the_order_of_their_changes() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let mut orders = Vec::new();
    for number in 0..500 {
        orders.push(app.add_order(user, "pending", number).await);
    }
    let mut events = Events::of(&app, "/api/v1/orders?page_size=1").await;
    assert_eq!(events.snapshot().await.len(), 1);
    // Each position changed two rows, and more rows changed than one read takes.
    sqlx::query(
        "WITH changed AS (UPDATE orders_g1.orders AS o SET position = 101 + (n - 1) / 2,
             status = 'paid'
         FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM orders_g1.orders) AS numbered
         WHERE numbered.id = o.id RETURNING o.id)
         UPDATE read_model.checkpoints SET position = 400 WHERE projection = 'orders'",
    )
    .execute(&app.writer)
    .await
    .unwrap();
    let (mut before, mut rows) = ((0, String::new()), Vec::new());
    for _ in 0..orders.len() {
        let event = events.event().await.unwrap();
        let here = (event.short().2, event.row().to_owned());
        assert!(here > before, "{here:?} after {before:?}");
        rows.push(here.1.clone());
        before = here;
    }
    orders.sort_unstable();
    assert_eq!(rows, orders.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_erased_user_is_sent_as_erased_and_leaves_a_list_by_address() {
    let app = App::silent(2).await;
    let seed = UserSeed::number(1);
    let user = app.add_user(&seed).await;
    let mut one = Events::of(&app, &format!("/api/v1/users/{user}")).await;
    let address = seed.email.unwrap();
    let mut by_address = Events::of(&app, &format!("/api/v1/users?email={address}")).await;
    assert_eq!(one.snapshot().await.len() + by_address.snapshot().await.len(), 2);
    app.change("users", user, ("email = NULL, name = NULL", 101), 101).await;
    let erased = one.event().await.unwrap();
    assert_eq!((erased.name.as_str(), erased.row()), ("erased", user.to_string().as_str()));
    assert!(erased.data["data"]["email"].is_null(), "{erased:?}");
    let left = by_address.event().await.unwrap();
    assert_eq!((left.name.as_str(), left.row()), ("left", user.to_string().as_str()));
    assert!(!left.data.to_string().contains(&address));
}

#[tokio::test]
async fn a_product_is_followed_by_everybody_and_by_its_name() {
    let app = App::silent(2).await;
    let product = app.add_product(0).await;
    let path = "/api/v1/products?name=product%20000";
    let mut events = Events::open(&app.router, None, path, None).await;
    assert_eq!(events.snapshot().await, [product.to_string()]);
    app.change("products", product, ("stock = 3", 101), 101).await;
    let changed = events.event().await.unwrap();
    assert_eq!((changed.name.as_str(), &changed.data["data"]["stock"]), ("changed", &3.into()));
    app.change("products", product, ("name = 'another'", 102), 102).await;
    assert_eq!(events.event().await.unwrap().name, "left");
}

#[tokio::test]
async fn a_row_is_marked_stale_and_what_is_applied_late_is_sent_too() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let order = app.add_order(user, "pending", 0).await;
    let path = format!("/api/v1/orders/{order}");
    let (mut one, mut list) =
        (Events::of(&app, &path).await, Events::of(&app, "/api/v1/orders").await);
    assert_eq!(one.snapshot().await, list.snapshot().await);
    app.move_to("orders", 120).await;
    let mark = "INSERT INTO read_model.stale (projection, generation, key, incomplete, absent, \
        since) VALUES ('orders', 1, $1, false, false, 101)";
    sqlx::query(mark).bind(order.to_string()).execute(&app.writer).await.unwrap();
    for events in [&mut one, &mut list] {
        let marked = events.event().await.unwrap();
        assert_eq!(marked.short(), ("stale", "pending", 120));
        assert_eq!(marked.data["meta"]["stale"], true);
        assert_eq!(marked.id.unwrap().rsplit('.').next(), Some("stale"));
    }
    // The event at 101 is applied now, behind the checkpoint.
    let mut late = app.writer.begin().await.unwrap();
    let unmark = sqlx::query("DELETE FROM read_model.stale WHERE projection = 'orders'");
    unmark.execute(&mut *late).await.unwrap();
    let apply = sqlx::query("UPDATE orders_g1.orders SET status = 'paid', position = 101");
    apply.execute(&mut *late).await.unwrap();
    late.commit().await.unwrap();
    for events in [&mut one, &mut list] {
        let applied = events.event().await.unwrap();
        assert_eq!(applied.short(), ("changed", "paid", 120));
        assert!(applied.data["meta"]["stale"].is_null(), "{applied:?}");
    }
    app.set_status(order, "shipped", 121).await;
    assert_eq!(one.event().await.unwrap().short(), ("changed", "shipped", 121));
}

#[tokio::test]
async fn a_switch_of_the_generation_is_said_and_a_new_snapshot_follows() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let mut one = Events::of(&app, &format!("/api/v1/users/{user}")).await;
    let mut list = Events::of(&app, "/api/v1/users?status=active").await;
    assert_eq!(one.snapshot().await, list.snapshot().await);
    let before = list.last_id();
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    for (events, rows) in [(&mut one, 1), (&mut list, 2)] {
        let reset = events.event().await.unwrap();
        assert_eq!((reset.name.as_str(), reset.code()), ("reset", "tables-switched"));
        assert_eq!(events.snapshot().await.len(), rows);
        assert!(events.last_id().starts_with("105.2."), "{}", events.last_id());
    }
    // Changes of the new tables follow.
    let change = "UPDATE users_g2.users SET order_count = 77, position = 106 WHERE id = $1";
    sqlx::query(change).bind(user).execute(&app.writer).await.unwrap();
    let moved = "UPDATE read_model.checkpoints SET position = 106 WHERE projection = 'users' AND \
        generation = 2";
    sqlx::query(moved).execute(&app.writer).await.unwrap();
    for events in [&mut one, &mut list] {
        let changed = events.event().await.unwrap();
        let count = &changed.data["data"]["order_count"];
        assert_eq!((changed.name.as_str(), count), ("changed", &77.into()));
    }
    let mut late = Events::after(&app.router, "/api/v1/users?status=active", &before).await;
    assert_eq!(late.event().await.unwrap().code(), "tables-switched");
    assert_eq!(late.snapshot().await.len(), 2);
}

#[tokio::test]
async fn a_split_projection_is_followed_in_the_order_of_its_positions() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let [ahead, behind] =
        [app.add_order(user, "paid", 0).await, app.add_order(user, "paid", 1).await];
    app.split("orders", 2).await;
    let mut events = Events::of(&app, "/api/v1/orders").await;
    assert_eq!(events.snapshot().await.len(), 2);
    // One partition is ahead of the other, whose change comes first nevertheless.
    let row = async |id: uuid::Uuid, position: i64| {
        let change = format!("UPDATE orders_g1.orders SET position = {position} WHERE id = $1");
        sqlx::query(AssertSqlSafe(change)).bind(id).execute(&app.writer).await.unwrap();
    };
    row(ahead, 103).await;
    app.move_partition("orders", 0, 103).await;
    row(behind, 102).await;
    app.move_partition("orders", 1, 103).await;
    let seen = [events.event().await.unwrap(), events.event().await.unwrap()];
    assert_eq!(seen.each_ref().map(|event| event.short().2), [102, 103]);
    assert_eq!(seen[0].row(), behind.to_string());
}
