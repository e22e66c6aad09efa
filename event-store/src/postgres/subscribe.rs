//! Endless reads: pages up to the head, then new events. This process's own appends announce them;
//! others are found by polling.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::PostgresStore;
use crate::error::StoreError;
use crate::event::{Position, RecordedEvent};
use crate::query::Filter;
use crate::store::EventStore;

/// The number of events per page.
const PAGE: u32 = 500;
/// The interval between polls of the head when no append is announced.
const POLL: Duration = Duration::from_millis(200);

struct State {
    store: PostgresStore,
    filter: Filter,
    after: Position,
    page: VecDeque<RecordedEvent>,
}

/// Subscribes to the events after a position that match, without an end. After an error the stream
/// may be polled again; it then retries.
pub(super) fn subscribe(
    store: PostgresStore,
    filter: Filter,
    after: Position,
) -> BoxStream<'static, Result<RecordedEvent, StoreError>> {
    let state = State { store, filter, after, page: VecDeque::new() };
    stream::unfold(state, |mut state| async move {
        let next = state.next().await;
        Some((next, state))
    })
    .boxed()
}

impl State {
    async fn next(&mut self) -> Result<RecordedEvent, StoreError> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.position;
                return Ok(event);
            }
            // The head is read before the page, so the page has every match up to that head. An
            // empty page therefore means that nothing matches up to it.
            let mut positions = self.store.inner.continuity.positions();
            let head = self.store.head().await?.mark.position;
            if head > self.after {
                self.page = self.store.read(&self.filter, self.after, PAGE).await?.into();
                if self.page.is_empty() {
                    // A stretch without a match.
                    self.after = head;
                }
            } else {
                let after = self.after;
                let newer = positions.wait_for(|newest| *newest > after);
                if tokio::time::timeout(POLL, newer).await.is_err() {
                    tracing::trace!("nothing heard of; the head is asked for");
                }
            }
        }
    }
}
