//! Tests of several questions in one snapshot, and of many rows by their ids, as used by code that
//! builds an answer from several tables.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use access::Scope;
use futures::future::{join_all, try_join_all};
use local_servers::until;
use postgres_kit::Columns;
use query_api::page::{PageRequest, PageStart};
use query_api::read::order::{FindOrders, ListOrders, OrderSort};
use query_api::read::table::MAX_IDS;
use query_api::read::user::{FindUser, FindUsers, ListUsers, UserSort};
use query_api::read::{ReadError, Reader, Snapshot};
use service_kit::consistency::ConsistencyToken;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::support::{App, UserSeed, event_at};
use crate::switch::SWITCH;

fn reader(app: &App) -> Reader {
    Reader::new(app.pools.clone(), app.watcher.clone())
}

fn users() -> ListUsers {
    let start = PageStart::First;
    let page_request = PageRequest { sort: UserSort::CreatedAtAsc, start, size: 100 };
    ListUsers { scope: Scope::All, status: None, email: None, columns: Columns::ALL, page_request }
}

fn orders() -> ListOrders {
    let start = PageStart::First;
    let page_request = PageRequest { sort: OrderSort::CreatedAtAsc, start, size: 100 };
    ListOrders {
        scope: Scope::All,
        user_id: None,
        status: None,
        columns: Columns::ALL,
        page_request,
    }
}

/// Adds an order of the user, as the projectors of users and orders would.
async fn project_an_order(app: &App, user: Uuid, position: i64) {
    app.add_order(user, "confirmed", position).await;
    sqlx::query("UPDATE users_g1.users SET order_count = order_count + 1 WHERE id = $1")
        .bind(user)
        .execute(&app.writer)
        .await
        .unwrap();
    app.move_to("users", position).await;
    app.move_to("orders", position).await;
}

#[tokio::test]
async fn two_questions_in_one_snapshot_never_see_two_positions_while_a_projector_moves() {
    let app = App::silent(2).await;
    let user = app.add_user(&UserSeed { order_count: 0, ..UserSeed::number(1) }).await;
    let reader = reader(&app);
    for round in 0..5 {
        let before = 100 + round * 10;
        let (app, at) = (&app, &AtomicUsize::new(0));
        let moves = async || {
            let step = i64::try_from(at.fetch_add(1, Ordering::SeqCst)).unwrap();
            project_an_order(app, user, before + 1 + step).await;
        };
        let shown = reader.snapshot(None, async |snapshot| {
            let one = snapshot.ask(FindUser::new(user, Scope::All)).await?;
            moves().await;
            let many = snapshot.ask(FindUsers::new(vec![user], Scope::All).unwrap()).await?;
            moves().await;
            let list = snapshot.ask(users()).await?;
            let orders = snapshot.ask(orders()).await?;
            let positions =
                [one.seen.position, many.seen.position, list.seen.position, orders.seen.position];
            let counts = [
                one.data.unwrap().order_count,
                many.data[0].as_ref().unwrap().order_count,
                list.data.rows[0].order_count,
                i64::try_from(orders.data.rows.len()).unwrap(),
            ];
            Ok::<_, ReadError>((positions, counts))
        });
        let (positions, counts) = shown.await.unwrap().unwrap();
        let count = round * 2;
        assert_eq!(
            (positions, counts),
            ([if round == 0 { 100 } else { before - 8 }; 4], [count; 4])
        );
        let after = reader.read(FindUser::new(user, Scope::All)).await.unwrap();
        assert_eq!((after.seen.position, after.data.unwrap().order_count), (before + 2, count + 2));
    }
}

#[tokio::test]
async fn a_snapshot_waits_for_a_token_as_one_question_does() {
    let app = App::start().await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let reader = reader(&app);
    let token = ConsistencyToken { epoch: app.epoch, position: 105, event_id: event_at(105) };
    let positions = async |patience: Duration| {
        let ask = async |snapshot: Snapshot| {
            let one = snapshot.ask(FindUser::new(user, Scope::All)).await?.seen.position;
            Ok::<_, ReadError>((one, snapshot.ask(orders()).await?.seen.position))
        };
        reader.snapshot(Some((token, patience)), ask).await.unwrap()
    };
    let early = positions(Duration::from_millis(60)).await;
    assert!(matches!(early, Err(ReadError::Behind { seen: 100, wanted: 105 })), "{early:?}");
    let moves = async {
        // One after the other, so the snapshot waits for both.
        until("somebody waits", async || app.watcher.waiting() == 1).await;
        app.move_to("users", 106).await;
        app.move_to("products", 90).await;
        app.move_to("orders", 107).await;
    };
    let started = Instant::now();
    let (shown, ()) = tokio::join!(positions(Duration::from_secs(20)), moves);
    assert_eq!(shown.unwrap(), (106, 107), "and not for what was not asked");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    let other = ConsistencyToken { epoch: Uuid::nil(), ..token };
    let ask = async |snapshot: Snapshot| snapshot.ask(users()).await.map(drop);
    let refused = reader.snapshot(Some((other, Duration::from_secs(20))), ask).await.unwrap();
    assert!(matches!(refused, Err(ReadError::Token(_))), "{refused:?}");
}

#[tokio::test]
async fn a_snapshot_is_taken_again_when_the_tables_were_switched_under_its_statements() {
    let app = App::silent(1).await;
    let user = app.add_user(&UserSeed::number(1)).await;
    let reader = reader(&app);
    let calls = AtomicUsize::new(0);
    let ask = async |snapshot: Snapshot| {
        calls.fetch_add(1, Ordering::SeqCst);
        let found = snapshot.ask(FindUsers::new(vec![user], Scope::All).unwrap()).await?;
        let list = snapshot.ask(users()).await?;
        assert!(found.data[0].is_some());
        Ok::<_, ReadError>((found.seen.position, list.seen.position, list.data.rows.len()))
    };
    assert_eq!(reader.snapshot(None, &ask).await.unwrap().unwrap(), (100, 100, 1));
    sqlx::raw_sql(SWITCH).execute(&app.writer).await.unwrap();
    assert_eq!(reader.snapshot(None, &ask).await.unwrap().unwrap(), (105, 105, 2));
    assert!(calls.load(Ordering::SeqCst) >= 3, "its statements are prepared for the old tables");
}

#[tokio::test]
async fn many_loaders_share_a_snapshot_and_who_hangs_up_gives_its_connection_back() {
    let app = App::silent(1).await;
    let mut ids = Vec::new();
    for number in 0..60 {
        ids.push(app.add_user(&UserSeed::number(number)).await);
    }
    let reader = reader(&app);
    let found = reader.snapshot(None, async |snapshot| {
        let loads = ids.iter().map(|id| snapshot.ask(FindUser::new(*id, Scope::All)));
        try_join_all(loads).await
    });
    let found = found.await.unwrap().unwrap();
    assert!(found.iter().zip(&ids).all(|(view, id)| view.data.as_ref().unwrap().id == *id));
    for _ in 0..3 {
        let asked = Notify::new();
        let asking = reader.snapshot(None, async |snapshot| {
            snapshot.ask(users()).await.unwrap();
            asked.notify_one();
            std::future::pending::<()>().await;
        });
        tokio::select! {
            _ = asking => unreachable!("it is pending"),
            () = asked.notified() => {}
        }
    }
    let orders = join_all((0..4).map(|_| reader.read(orders()))).await;
    assert!(orders.iter().all(Result::is_ok), "the only connection is free again");
}

#[tokio::test]
async fn a_question_that_fails_ends_the_snapshot_for_the_others() {
    let app = App::silent(1).await;
    let reader = reader(&app);
    let unstorable = ListUsers { email: Some("\0".to_owned()), ..users() };
    let answers = reader.snapshot(None, async |snapshot| {
        (snapshot.ask(unstorable.clone()).await, snapshot.ask(users()).await)
    });
    let (first, second) = answers.await.unwrap();
    assert!(matches!(first, Err(ReadError::NotStorable(_))), "{first:?}");
    assert!(matches!(second, Err(ReadError::SnapshotLost)), "{second:?}");
    assert!(reader.read(users()).await.is_ok());
}

#[tokio::test]
async fn many_rows_come_in_the_order_of_their_ids_with_a_place_for_those_that_are_not_there() {
    let app = App::silent(1).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(app.add_user(&UserSeed::number(number)).await);
    }
    let absent = Uuid::nil();
    let wanted = vec![ids[3], absent, ids[0], ids[4], ids[3]];
    let found =
        reader(&app).read(FindUsers::new(wanted.clone(), Scope::All).unwrap()).await.unwrap();
    let found: Vec<Option<Uuid>> = found.data.iter().map(|row| Some(row.as_ref()?.id)).collect();
    let expected: Vec<Option<Uuid>> =
        wanted.iter().map(|id| (*id != absent).then_some(*id)).collect();
    assert_eq!(found, expected);
    let none = reader(&app).read(FindOrders::new(Vec::new(), Scope::All).unwrap()).await.unwrap();
    assert!(none.data.is_empty());
    assert!(FindUsers::new(vec![absent; MAX_IDS], Scope::All).is_ok());
    let refused = FindUsers::new(vec![absent; MAX_IDS + 1], Scope::All).unwrap_err().to_string();
    assert_eq!(refused, "1001 rows are asked for at once: at most 1000 can be");
}
