//! Assertions about outcomes, and about a log as a whole.

use std::collections::HashMap;

use crate::append::{AppendOutcome, Appended, Refusal};
use crate::event::Position;
use crate::query::Filter;
use crate::store::EventStore;
use crate::stream::StreamName;

/// The number of events per page.
const PAGE: u32 = 1_000;

/// Returns the result of a successful append.
///
/// # Panics
/// When the append was refused or repeated.
#[track_caller]
pub fn appended(outcome: AppendOutcome) -> Appended {
    match outcome {
        AppendOutcome::Appended(appended) => appended,
        other => panic!("not appended: {other:?}"),
    }
}

/// Returns the refusal of an append.
///
/// # Panics
/// When the append was not refused.
#[track_caller]
pub fn refused(outcome: AppendOutcome) -> Refusal {
    match outcome {
        AppendOutcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns the result of the first append under the key, and its stored answer.
///
/// # Panics
/// When the append is not a repeat.
#[track_caller]
pub fn repeated(outcome: AppendOutcome) -> (Appended, String) {
    match outcome {
        AppendOutcome::Repeated { appended, answer } => (appended, answer.get().to_owned()),
        other => panic!("not repeated: {other:?}"),
    }
}

/// Reads the whole log, checks it and returns its last position.
///
/// # Panics
/// When positions or versions are not dense, or the log's clock goes back.
pub async fn check_dense(store: &dyn EventStore) -> Position {
    let mut after = Position::START;
    let mut versions = HashMap::<StreamName, i64>::new();
    let mut recorded_at = None;
    loop {
        let page = store.read(&Filter::All, after, PAGE).await.unwrap();
        if page.is_empty() {
            return after;
        }
        for event in page {
            assert_eq!(event.position, after.next(), "positions have no gap");
            after = event.position;
            let version = versions.entry(event.stream.clone()).or_default();
            *version += 1;
            assert_eq!(event.version.0, *version, "versions of {} are dense", event.stream);
            assert!(recorded_at <= Some(event.recorded_at), "the log's clock does not go back");
            recorded_at = Some(event.recorded_at);
        }
    }
}
