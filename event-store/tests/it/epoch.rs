//! New epochs. A person begins one, and every process that knows an ancestor history follows; no
//! other process does (A5).

use std::time::{Duration, Instant};

use event_store::ExpectedVersion::Any;
use event_store::postgres::begin_epoch;
use event_store::{Append, Appended, EventStore, Position, PostgresStore, Refusal, StoreError};
use sqlx::PgConnection;

use crate::schema::{END_CONNECTIONS, other_history};
use crate::support::{
    append_to, appended, check_dense, connect, database, event, key, one, options, plain, refused,
    repeated, sqlstate, stream,
};

/// The maximum time for a process to notice.
const SOON: Duration = Duration::from_secs(20);

/// Appends until it succeeds.
async fn goes_on(store: &PostgresStore) -> Appended {
    let since = Instant::now();
    loop {
        match store.append(one("gone-on")).await {
            Ok(outcome) => return appended(outcome),
            Err(error) => assert!(since.elapsed() < SOON, "no append succeeds: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn lose_events_after(admin: &mut PgConnection, position: i64) {
    for statement in [
        "DELETE FROM event_store.events WHERE position > $1",
        "DELETE FROM event_store.tags WHERE position > $1",
    ] {
        sqlx::query(statement).bind(position).execute(&mut *admin).await.unwrap();
    }
    sqlx::raw_sql(END_CONNECTIONS).execute(admin).await.unwrap();
}

#[tokio::test]
async fn a_process_goes_on_in_an_epoch_that_was_begun_while_it_worked() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let old = store.head().await.unwrap().epoch;
    let mut admin = plain(database.url()).await;
    let new = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let outcome = appended(store.append(one("a")).await.unwrap());
    assert_eq!((outcome.epoch, outcome.last.position), (new, Position(2)));
    assert_eq!(store.head().await.unwrap().epoch, new);
    for (epoch, descends) in
        [(new, true), (old, true), (event_store::Epoch(uuid::Uuid::now_v7()), false)]
    {
        assert_eq!(store.descends_from(epoch).await.unwrap(), descends);
    }
    // A caller that still names the old epoch is refused and decides again.
    let refusal = refused(store.append(Append { epoch: Some(old), ..one("a") }).await.unwrap());
    assert_eq!(refusal, Refusal::Epoch { actual: new });
    check_dense(&store).await;
}

#[tokio::test]
async fn p9_a_repeat_answers_in_the_epoch_that_its_event_is_still_part_of() {
    let database = database().await;
    let store = connect(database.url()).await;
    let keyed = |value| Append { idempotency: Some(key(value, 1, "1")), ..one("a") };
    let without_events = || Append { idempotency: Some(key(9, 1, "1")), ..Append::default() };
    let of_two = Append {
        idempotency: Some(key(2, 1, "1")),
        ..append_to(stream("b"), Any, vec![event("a.b"), event("a.c")])
    };
    let nothing_yet = appended(store.append(without_events()).await.unwrap());
    assert_eq!(nothing_yet.last, event_store::EventRef::START);
    let before = [
        appended(store.append(keyed(1)).await.unwrap()),
        appended(store.append(of_two.clone()).await.unwrap()),
        nothing_yet,
        appended(store.append(keyed(3)).await.unwrap()),
    ];
    let mut admin = plain(database.url()).await;
    // The last position now has another event, so the record at it belongs to a past history.
    let swap = "UPDATE event_store.events SET event_id = gen_random_uuid() WHERE position = 4";
    sqlx::raw_sql(swap).execute(&mut admin).await.unwrap();
    let new = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let store = connect(database.url()).await;
    for (nth, append) in [keyed(1), of_two, without_events(), keyed(3)].into_iter().enumerate() {
        let epoch = if nth == 3 { before[nth].epoch } else { new };
        let lookup = append.idempotency.clone().unwrap();
        // A client that retries makes the event again.
        let append = Append { streams: one("other").streams, ..append };
        for outcome in
            [store.append(append).await.unwrap(), store.repeated(&lookup).await.unwrap().unwrap()]
        {
            let again = repeated(outcome).0;
            assert_eq!(
                (again.epoch, again.last.position),
                (epoch, before[nth].last.position),
                "{nth}"
            );
        }
    }
    assert_eq!(check_dense(&store).await, Position(4));
}

#[tokio::test]
async fn after_lost_commits_a_process_waits_for_a_person_and_then_goes_on_without_a_restart() {
    let database = database().await;
    let store = connect(database.url()).await;
    for _ in 0..5 {
        appended(store.append(one("a")).await.unwrap());
    }
    let mut admin = plain(database.url()).await;
    lose_events_after(&mut admin, 3).await;
    let error = other_history(&store).await;
    assert!(
        matches!(&error, StoreError::OtherHistory(why) if why.contains("`event-store epoch \
            begin`")),
        "{error:?}"
    );
    let error = store
        .read_stream(&crate::support::stream("a"), event_store::Version::NONE, 9)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::OtherHistory(_)), "{error:?}");
    let new = begin_epoch(&mut admin, "commits were lost", &[]).await.unwrap();
    let first = goes_on(&store).await;
    assert_eq!((first.epoch, first.last.position), (new, Position(4)));
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(4));
}

#[tokio::test]
async fn once_the_right_server_is_back_a_process_goes_on_in_its_old_epoch() {
    let database = database().await;
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    let epoch = store.head().await.unwrap().epoch;
    let mut admin = plain(database.url()).await;
    let rename = async |admin: &mut PgConnection, from: &str, to: &str| {
        let statement =
            format!("UPDATE event_store.events SET event_id = '{to}' WHERE event_id = '{from}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut *admin).await.unwrap();
        sqlx::raw_sql(END_CONNECTIONS).execute(admin).await.unwrap();
    };
    let (id, other) = (store.head().await.unwrap().mark.event_id.unwrap(), uuid::Uuid::nil());
    rename(&mut admin, &id.to_string(), &other.to_string()).await;
    assert!(matches!(other_history(&store).await, StoreError::OtherHistory(_)));
    rename(&mut admin, &other.to_string(), &id.to_string()).await;
    assert_eq!(goes_on(&store).await.epoch, epoch);
}

#[tokio::test]
async fn a_copy_from_before_the_known_epoch_is_followed_only_when_a_person_says_so() {
    let database = database().await;
    let mut admin = plain(database.url()).await;
    let first = connect(database.url()).await.head().await.unwrap().epoch;
    let second = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    let store = connect(database.url()).await;
    appended(store.append(one("a")).await.unwrap());
    // The copy knows only the first epoch.
    let restore = sqlx::query(
        "WITH log AS (UPDATE event_store.log SET epoch = $1) DELETE FROM event_store.epochs WHERE \
            epoch = $2",
    );
    restore.bind(first.0).bind(second.0).execute(&mut admin).await.unwrap();
    lose_events_after(&mut admin, 0).await;
    let wanted = format!("`event-store epoch begin --abandon {second}`");
    let error = other_history(&store).await;
    assert!(matches!(&error, StoreError::OtherHistory(why) if why.contains(&wanted)), "{error:?}");
    // A new epoch alone does not prove that it replaces the known one.
    begin_epoch(&mut admin, "somebody else's", &[]).await.unwrap();
    sqlx::raw_sql(END_CONNECTIONS).execute(&mut admin).await.unwrap();
    assert!(matches!(other_history(&store).await, StoreError::OtherHistory(_)));
    begin_epoch(&mut admin, "the copy goes on", &[second]).await.unwrap();
    goes_on(&store).await;
    assert_eq!(check_dense(&connect(database.url()).await).await, Position(1));
}

#[tokio::test]
async fn a_process_that_starts_on_a_log_behind_the_known_head_waits_for_a_person() {
    let database = database().await;
    let before = connect(database.url()).await;
    for _ in 0..5 {
        appended(before.append(one("a")).await.unwrap());
    }
    let known = before.head().await.unwrap();
    let start = || PostgresStore::connect(options(database.url()).known_head(Some(known)));
    assert_eq!(
        appended(start().await.unwrap().append(one("a")).await.unwrap()).last.position,
        Position(6),
        "nothing is lost"
    );
    let mut admin = plain(database.url()).await;
    lose_events_after(&mut admin, 3).await;
    let error = start().await.err().unwrap();
    assert!(
        matches!(&error, StoreError::OtherHistory(why) if why.contains("`event-store epoch \
            begin`")),
        "{error:?}"
    );
    assert_eq!(
        connect(database.url()).await.head().await.unwrap().mark.position,
        Position(3),
        "a reader without keys sees nothing"
    );
    let new = begin_epoch(&mut admin, "commits were lost", &[]).await.unwrap();
    let outcome = appended(start().await.unwrap().append(one("a")).await.unwrap());
    assert_eq!((outcome.epoch, outcome.last.position), (new, Position(4)));
}

#[tokio::test]
async fn each_epoch_has_a_later_id_than_all_before_it_and_those_that_it_replaces() {
    let database = database().await;
    let mut admin = plain(database.url()).await;
    let ahead: uuid::Uuid = "0fff9999-0000-7000-8000-000000000000".parse().unwrap();
    let mut last = connect(database.url()).await.head().await.unwrap().epoch;
    for abandoned in [&[][..], &[], &[event_store::Epoch(ahead)], &[]] {
        let epoch = begin_epoch(&mut admin, "a test", abandoned).await.unwrap();
        assert!(
            epoch.0 > last.0 && abandoned.iter().all(|other| epoch.0 > other.0),
            "{epoch} after {last}"
        );
        assert_eq!(epoch.0.get_version_num(), 7);
        last = epoch;
    }
    assert!(last.0 > ahead, "whatever the clock says");
    // An id that leaves no time for later ones is none.
    for none in ["ffffffff-ffff-ffff-ffff-ffffffffffff", "80000000-0000-7000-8000-000000000000"] {
        let none = event_store::Epoch(none.parse().unwrap());
        let refused = begin_epoch(&mut admin, "a test", &[none]).await.unwrap_err();
        assert!(format!("{refused:?}").contains("is not the id of an epoch"), "{refused:?}");
    }
    let next = begin_epoch(&mut admin, "a test", &[]).await.unwrap();
    assert!(next.0 > last.0, "{next} after {last}");
}

#[tokio::test]
async fn only_the_owner_begins_an_epoch() {
    let database = database().await;
    for group in ["event_store_appender", "event_store_reader", "event_store_relay"] {
        let mut connection = plain(&database.url_in_group(group).await).await;
        let StoreError::Database(error) =
            begin_epoch(&mut connection, "no", &[]).await.unwrap_err()
        else {
            panic!("{group}")
        };
        assert_eq!(sqlstate(&error), "42501", "{group}");
    }
}
