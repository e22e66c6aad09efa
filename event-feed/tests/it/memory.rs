//! How much memory the relay takes with events near the limit of their size.

use serde_json::json;

use crate::support::{World, event};

/// How many events there are, and the bytes of each: together several times what the relay may
/// take.
const EVENTS: usize = 3_000;
const BYTES: usize = 94_000;
/// The most that the process may take: what it takes by itself, and the pages and the batch under
/// way.
const MOST_KIB: u64 = 128 * 1_024;
/// Events that are made at once, so that the test itself takes little.
const AT_ONCE: usize = 10;

#[tokio::test]
async fn a_relay_that_catches_up_with_large_events_stays_within_its_memory() {
    let world = World::new().await;
    let text = "x".repeat(BYTES);
    for _ in 0..EVENTS / AT_ONCE {
        world
            .append_events((0..AT_ONCE).map(|n| event(&json!({"n": n, "text": text}))).collect())
            .await;
    }
    let relay = world.relay_process();
    world.all_published().await;
    let peak = relay.peak_memory_kib();
    eprintln!("{} MiB at most", peak / 1_024);
    assert!(peak < MOST_KIB, "the relay took {} MiB", peak / 1_024);
}
