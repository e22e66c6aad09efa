//! Reads of streams that share a statement: each returns what it would return alone, and a silent
//! server connection delays only those that it answers.

use std::pin::pin;
use std::time::Duration;

use event_store::postgres::migrate;
use event_store::{
    Append, EventStore, ExpectedVersion, NewEvent, PostgresStore, StoreError, StreamName, Version,
};
use futures::future::join_all;
use local_servers::{ClusterOptions, PostgresCluster, Stopped, in_time, until};
use rand::Rng as _;
use serde_json::json;
use tokio::time::timeout;

use crate::proxy::Switch;
use crate::support::{append_to, appended, connect, database, metadata, one, plain, random};

fn events(count: usize, bytes: usize) -> Vec<NewEvent> {
    let made = |_| {
        let data = json!({"text": "x".repeat(bytes)});
        NewEvent::json("thing.made".parse().unwrap(), 1, &data, metadata()).unwrap()
    };
    (0..count).map(made).collect()
}

/// Appends one stream for each number and size of events.
async fn streams(store: &PostgresStore, shapes: &[(usize, usize)]) -> Vec<StreamName> {
    let mut names = Vec::new();
    for (index, &(count, bytes)) in shapes.iter().enumerate() {
        let name = StreamName::new("thing", format!("tail-{index}")).unwrap();
        if count > 0 {
            let append: Append =
                append_to(name.clone(), ExpectedVersion::NoStream, events(count, bytes));
            appended(store.append(append).await.unwrap());
        }
        names.push(name);
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_share_a_statement_return_what_each_would_alone() {
    let database = database().await;
    let store = connect(database.url()).await;
    // Around the limits of what is read together: 16 events, 32 KiB.
    let shapes = [0, 1, 2, 15, 16, 17, 40].map(|count| (count, 10));
    let large = [(1, 31_000), (1, 33_000), (3, 12_000), (16, 1_900), (16, 2_200), (2, 200_000)];
    let shapes = [shapes.as_slice(), &large].concat();
    let names = streams(&store, &shapes).await;
    let mut random = random();
    let asked: Vec<(usize, i64, u32)> = (0..400)
        .map(|_| {
            let index = random.random_range(0..shapes.len());
            let after = random.random_range(0..=i64::try_from(shapes[index].0).unwrap());
            (index, after, [1, 5, 16, 200, 500][random.random_range(0..5)])
        })
        .collect();
    let reads = asked.iter().map(|&(index, after, limit)| {
        let (store, name) = (&store, &names[index]);
        async move { store.read_stream(name, Version(after), limit).await.unwrap() }
    });
    let read = in_time("all reads", join_all(reads)).await;
    for (&(index, after, limit), events) in asked.iter().zip(read) {
        let versions: Vec<i64> = events.iter().map(|event| event.version.0).collect();
        let last = i64::try_from(shapes[index].0).unwrap().min(after + i64::from(limit));
        assert_eq!(versions, (after + 1..=last).collect::<Vec<_>>(), "{index} {after} {limit}");
        assert!(events.iter().all(|event| event.stream == names[index]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_sees_what_was_appended_before_it() {
    let database = database().await;
    let (store, other) = (connect(database.url()).await, connect(database.url()).await);
    let writers = (0..8_i64).map(|writer| {
        let (store, other) = (store.clone(), other.clone());
        async move {
            for version in 1..=25 {
                let name = format!("seen-{writer}");
                let stream = one(name).streams[0].stream.clone();
                appended(store.append(one(format!("seen-{writer}"))).await.unwrap());
                for reader in [&store, &other] {
                    let read = reader.read_stream(&stream, Version(version - 1), 10).await;
                    assert_eq!(read.unwrap().len(), 1, "version {version}");
                }
            }
        }
    });
    join_all(writers).await;
}

#[tokio::test]
async fn a_silent_read_delays_no_other() {
    // A server of its own: others would wait for its stopped process.
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&cluster.url()).await.unwrap();
    let names = streams(&connect(&cluster.url()).await, &[(1, 10), (2, 10)]).await;
    // It appends nothing, so its reads have the only connection of their pool.
    let store = connect(&cluster.url()).await;
    store.read_stream(&names[0], Version::NONE, 10).await.unwrap();
    let mut admin = plain(&cluster.url()).await;
    let reading: Vec<i32> = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND query LIKE '%The ends of several streams%'",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    assert_eq!(reading.len(), 1, "the reads so far used one connection");
    let stopped = Stopped::stop(reading);
    let mut silent = pin!(store.read_stream(&names[0], Version::NONE, 10));
    let unanswered = timeout(Duration::from_millis(100), silent.as_mut()).await;
    assert!(unanswered.is_err(), "its statement is sent, and nobody answers");
    for index in 0..50 {
        // A new connection may take too long on a busy machine: then the read is repeated.
        let another = async || {
            let read = store.read_stream(&names[index % 2], Version::NONE, 10).await;
            read.is_ok_and(|events| !events.is_empty())
        };
        until("another read", another).await;
        assert!(futures::poll!(silent.as_mut()).is_pending(), "others wait for the silent read");
    }
    let silent = in_time("the silent read", silent).await;
    assert!(matches!(silent, Err(StoreError::Unavailable(_))), "{silent:?}");
    drop(stopped);
}

#[tokio::test]
async fn a_connection_that_breaks_fails_one_read_of_those_that_share_it() {
    let database = database().await;
    let names = streams(&connect(database.url()).await, &[(1, 10); 8]).await;
    let store = connect(database.url()).await;
    let mut admin = plain(database.url()).await;
    for round in 0..3 {
        // Used a moment ago, the connection is not pinged before its next use.
        store.read_stream(&names[0], Version::NONE, 10).await.unwrap();
        let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
            WHERE datname = current_database() AND query LIKE '%The ends of several streams%'
                AND pid <> pg_backend_pid()";
        let ended: i64 = sqlx::query_scalar(end).fetch_one(&mut admin).await.unwrap();
        assert!(ended > 0, "{round}");
        let reads = join_all(names.iter().map(|name| store.read_stream(name, Version::NONE, 10)));
        let read = in_time("all reads", reads).await;
        let failed = read.iter().filter(|read| read.is_err()).count();
        assert!(failed <= 1, "{round}: {read:?}");
        assert!(read.iter().flatten().all(|events| events.len() == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_what_this_process_knows_answers_no_read_of_a_stream() {
    let primary = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    migrate(&primary.url()).await.unwrap();
    let name = streams(&connect(&primary.url()).await, &[(1, 10)]).await.remove(0);
    let standby = primary.standby().await.unwrap();
    primary.wait_until_followed_by(&standby).await;
    standby.cut_off().await;
    // A page that shares a statement, and one that does not.
    for limit in [100, 500] {
        let switch = Switch::start(&primary.url()).await;
        let store = connect(switch.url()).await;
        // The connection for reads stays open when the name leads to the primary again.
        switch.lead_to(standby.port());
        assert_eq!(store.read_stream(&name, Version::NONE, limit).await.unwrap().len(), 1);
        switch.lead_to(primary.port());
        let append = append_to(name.clone(), ExpectedVersion::Any, events(1, 10));
        let version = appended(store.append(append).await.unwrap()).versions[0].1;
        for _ in 0..20 {
            let read = store.read_stream(&name, Version::NONE, limit).await.unwrap();
            assert_eq!(read.last().map(|event| event.version), Some(version), "{limit}");
        }
    }
}
