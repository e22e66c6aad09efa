//! Compares events with their digests. It computes the digests of
//! `migrations/event_store/*_create_digest.sql` independently.

use std::collections::VecDeque;

use postgres_kit::Connection;
use sha2::{Digest, Sha256};

use super::{Row, Verification};
use crate::event::Position;

/// The number of digests per page.
const DIGESTS: i64 = 100;
/// The number of bytes of each event's digest that go into the digest of its stretch.
const KEPT: usize = 8;

struct LogDigest {
    first_position: i64,
    last_position: i64,
    previous: Option<Vec<u8>>,
    digest: Vec<u8>,
    event_digests: Vec<u8>,
}

/// The progress of the check along the chain.
#[derive(Default)]
pub(super) struct Chain {
    digests: VecDeque<LogDigest>,
    /// The last position whose digests were read.
    read_to: i64,
    exhausted: bool,
    /// The last position of the previous digest, and the digest.
    before: (i64, Option<Vec<u8>>),
    /// The shortened digests of this stretch's events so far.
    events: Vec<u8>,
    named: bool,
}

/// Computes an event's digest from its columns as text, one line each.
fn digest(row: &Row) -> [u8; 32] {
    let Row {
        position, version, event_id, schema_version, stream, event_type, data, metadata, ..
    } = row;
    let (micros, tags, length) =
        (row.recorded_at.timestamp_micros(), row.tags.join(" "), metadata.len());
    let text = format!(
        "{position}\n{version}\n{event_id}\n{micros}\n{schema_version}\n{stream}\n{event_type}\n\
        {tags}\n{length}\n{metadata}\n{data}"
    );
    Sha256::digest(text).into()
}

impl Chain {
    /// Compares the next event of the log.
    pub(super) async fn event(
        &mut self,
        connection: &mut Connection,
        row: &Row,
        found: &mut Verification,
    ) -> sqlx::Result<()> {
        loop {
            self.look(connection).await?;
            let Some(stretch) = self.digests.front() else { return Ok(()) };
            if stretch.last_position < row.position {
                self.close(found);
                continue;
            }
            let nth = usize::try_from(row.position - stretch.first_position).ok();
            let kept = nth.and_then(|nth| stretch.event_digests.chunks(KEPT).nth(nth));
            let own = digest(row);
            if kept.is_none_or(|kept| own[..KEPT] != *kept) {
                self.named = true;
                found.find(row.position, "the event differs from its digest".to_owned());
            }
            self.events.extend(own);
            if stretch.last_position == row.position {
                self.close(found);
            }
            return Ok(());
        }
    }

    /// Runs after the last event: digests of later positions mean that events are missing.
    pub(super) async fn end(
        &mut self,
        connection: &mut Connection,
        head: i64,
        found: &mut Verification,
    ) -> sqlx::Result<()> {
        loop {
            self.look(connection).await?;
            let Some(stretch) = self.digests.front() else { return Ok(()) };
            let (first, last) = (stretch.first_position.max(head + 1), stretch.last_position);
            found.find(
                first,
                format!("no event from here to position {last}, but events were digested there"),
            );
            self.named = true;
            self.close(found);
        }
    }

    /// Reads the next digests once the previous ones are compared.
    async fn look(&mut self, connection: &mut Connection) -> sqlx::Result<()> {
        // New digests may exist since the last read, but only of events behind the head at that
        // time. A short check covers only the digests that existed then.
        if self.digests.is_empty() && !self.exhausted {
            let page =
                sqlx::query_file_as!(LogDigest, "sql/verify_digests.sql", self.read_to, DIGESTS)
                    .fetch_all(connection)
                    .await?;
            self.exhausted = page.is_empty();
            self.read_to = page.last().map_or(self.read_to, |last| last.last_position);
            self.digests = page.into();
        }
        Ok(())
    }

    /// Compares the digest of the stretch and starts the next one.
    fn close(&mut self, found: &mut Verification) {
        let Some(stretch) = self.digests.pop_front() else { return };
        let (first, last) = (stretch.first_position, stretch.last_position);
        let whole = Sha256::new()
            .chain_update(stretch.previous.as_deref().unwrap_or_default())
            .chain_update(&self.events)
            .finalize();
        self.events.clear();
        let named = std::mem::take(&mut self.named);
        if stretch.previous != self.before.1 || first != self.before.0 + 1 {
            found.find(
                first,
                format!(
                    "the digest of positions {first} to {last} does not follow the one before it"
                ),
            );
        } else if !named && stretch.digest != whole.as_slice() {
            found.find(
                first,
                format!("the events at positions {first} to {last} differ from their digest"),
            );
        }
        self.before = (last, Some(stretch.digest));
        found.digested_to = Position(last);
    }
}
