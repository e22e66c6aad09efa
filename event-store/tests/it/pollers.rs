//! Concurrent readers and writers: every read of the log, at any moment, is a prefix (I6, A11).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_store::{EventStore, Filter, Position, PostgresStore};
use local_servers::test_run;

use crate::support::{appended, check_dense, connect, database, one};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_whoever_has_read_up_to_a_position_has_missed_nothing_below_it() {
    let database = database().await;
    let stores = [
        connect(database.url()).await,
        connect(database.url()).await,
        connect(database.url()).await,
    ];
    let done = Arc::new(AtomicBool::new(false));
    let pollers = (0..3)
        .map(|_| tokio::spawn(poll(stores[2].clone(), Arc::clone(&done))))
        .collect::<Vec<_>>();
    let each = test_run().count(100, 20_000);
    let writers = (0..8_usize).map(|writer| {
        let store = stores[writer % 2].clone();
        tokio::spawn(async move {
            let mut last = Position::START;
            for round in 0..each {
                let position =
                    appended(store.append(one(format!("{writer}-{}", round % 3))).await.unwrap())
                        .last
                        .position;
                assert!(position > last, "appends acknowledged earlier come earlier (I3)");
                last = position;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    for poller in pollers {
        assert_eq!(poller.await.unwrap(), Position(i64::try_from(8 * each).unwrap()));
    }
    check_dense(&stores[2]).await;
}

/// Follows the log until the writers are done and the head is reached.
async fn poll(store: PostgresStore, done: Arc<AtomicBool>) -> Position {
    let mut after = Position::START;
    loop {
        let finished = done.load(Ordering::SeqCst);
        let head = store.head().await.unwrap().mark.position;
        let page = store.read(&Filter::All, after, 100).await.unwrap();
        for event in &page {
            assert_eq!(event.position, after.next(), "there is no gap at any time");
            after = event.position;
        }
        if page.len() < 100 {
            assert!(after >= head, "a page that ends early reaches the head that was known before");
        }
        if finished && page.is_empty() {
            return after;
        }
    }
}
