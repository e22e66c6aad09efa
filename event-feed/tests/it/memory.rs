//! The memory use of the relay with events near the size limit.

use serde_json::json;

use crate::support::{World, event};

/// The number of events and the bytes of each. Their total is several times the relay's memory
/// limit.
const EVENTS: usize = 3_000;
const BYTES: usize = 94_000;
/// The memory limit of the process, in KiB. It covers the process itself, the pages and the current
/// batch.
const MOST_KIB: u64 = 128 * 1_024;
/// The number of events created at once, so that the test itself needs little memory.
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
