//! How much memory the tools take that fold the whole log, with events and rows that are large.

use std::process::Stdio;
use std::time::{Duration, Instant};

use domain::order::event::{OrderConfirmed, OrderEvent, OrderLine, OrderPlaced};
use domain::value::{ProductName, Quantity};
use event_store::{Append, EventStore, ExpectedVersion, StreamAppend};
use local_servers::{peak_memory_kib, until_within};
use uuid::Uuid;

use crate::support::life::{at, money};
use crate::support::process::{Process, command};
use crate::support::{ask, happening, postgres_store, whole_database};

/// How long projecting them may take.
const PROJECTED: Duration = Duration::from_mins(2);
/// How long a tool may take over them.
const LIMIT: Duration = Duration::from_mins(4);
/// Orders, and the lines of each: about 94 kB as an event, and as a row.
const ORDERS: usize = 600;
const LINES: usize = 430;
/// The most that a tool may take: what it takes by itself, its rows and some pages of the log. All
/// events are about 56 MB.
const MOST_KIB: u64 = 200 * 1_024;

fn large(order_id: Uuid) -> [OrderEvent; 2] {
    let line = |number: usize| OrderLine {
        line_id: Uuid::from_u128(number as u128),
        product_id: Uuid::from_u128(7),
        product_name: ProductName::parse("a name of some length, as many have").unwrap(),
        quantity: Quantity::new(1).unwrap(),
        unit_price: money(1, "USD"),
    };
    let (user_id, total, units) = (Uuid::from_u128(1), money(430, "USD"), 430);
    let placed = OrderPlaced {
        order_id,
        user_id,
        lines: (0..LINES).map(line).collect(),
        total,
        ordered_at: None,
    };
    let confirmed = OrderConfirmed {
        order_id,
        user_id,
        total,
        units,
        ordered_at: at("1997-01-01T00:00:00Z"),
        to_fulfil: true,
    };
    [OrderEvent::Placed(placed), OrderEvent::Confirmed(confirmed)]
}

/// A batch of rows this large may take longer than one transaction may, and is then tried again
/// with fewer events.
async fn until_projected(url: &str, events: usize) {
    let events = i64::try_from(events).unwrap();
    until_within(PROJECTED, "every projection at the head", || async {
        ask::<i64>(url, "SELECT min(position) FROM read_model.checkpoints").await == events
    })
    .await;
}

/// Runs the tool to its end. Returns the most memory that it had, in KiB.
async fn peak(url: &str, arguments: &[&str]) -> u64 {
    let mut child = command(url)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let (mut peak, started) = (0, Instant::now());
    loop {
        assert!(started.elapsed() < LIMIT, "{arguments:?}: not within {LIMIT:?}");
        // One that has ended tells nothing any more.
        peak = peak.max(peak_memory_kib(pid).unwrap_or(0));
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(2), child.wait()).await {
            assert!(ended.unwrap().success(), "{arguments:?}");
            return peak;
        }
    }
}

#[tokio::test]
async fn a_rebuild_and_a_verification_of_large_rows_stay_within_their_memory() {
    let database = whole_database().await;
    let (url, store) = (database.url(), postgres_store(database.url()).await);
    // All are placed first and confirmed later, so that the events of the second step touch rows
    // that are written already.
    for step in 0..2 {
        for number in 0..ORDERS {
            let order_id = Uuid::from_u128(1_000 + number as u128);
            let (stream, event) = happening("order", order_id, &large(order_id)[step]);
            let streams =
                vec![StreamAppend { stream, expected: ExpectedVersion::Any, events: vec![event] }];
            store.append(Append { streams, ..Append::default() }).await.unwrap();
        }
        // Then small events touch large rows: a batch of them by far more than may be held at once.
        let live = Process::start(url);
        until_projected(url, ORDERS * (step + 1)).await;
        let peak = live.peak_memory_kib();
        eprintln!("catching up, step {step}: {} MiB at most", peak / 1_024);
        assert!(peak < MOST_KIB, "catching up, step {step}, took {} MiB", peak / 1_024);
    }
    for arguments in [
        &["verify", "orders", "--memory", "16"][..],
        &["rebuild", "orders", "--memory", "16", "--no-compare"],
        &["explain", "orders", &Uuid::from_u128(1_000).to_string(), "--as-of", "700"],
    ] {
        let peak = peak(url, arguments).await;
        eprintln!("{arguments:?}: {} MiB at most", peak / 1_024);
        assert!(peak < MOST_KIB, "{arguments:?} took {} MiB", peak / 1_024);
    }
}
