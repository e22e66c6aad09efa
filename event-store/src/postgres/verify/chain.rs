//! Compares events with their seals. The same digests as in `migrations/event_store/*_create_digest_log.sql`, worked out by other means.

use std::collections::VecDeque;

use postgres_kit::Connection;
use sha2::{Digest, Sha256};

use super::{Row, Verification};
use crate::event::Position;

/// Seals per page.
const SEALS: i64 = 100;
/// So many bytes of each event's digest are kept in its seal.
const KEPT: usize = 8;

struct Seal {
    first_position: i64,
    last_position: i64,
    previous: Option<Vec<u8>>,
    digest: Vec<u8>,
    event_digests: Vec<u8>,
}

/// Where in the chain the check is.
#[derive(Default)]
pub(super) struct Chain {
    seals: VecDeque<Seal>,
    /// The last position whose seals were read.
    read_to: i64,
    exhausted: bool,
    /// The last position of the seal before, and its digest.
    before: (i64, Option<Vec<u8>>),
    /// The digests of the seal's events so far.
    events: Vec<u8>,
    named: bool,
}

/// An event's columns as text, a line each.
fn digest(row: &Row) -> [u8; 32] {
    let Row {
        position, version, event_id, schema_version, stream, event_type, data, metadata, ..
    } = row;
    let (micros, tags, length) =
        (row.recorded_at.timestamp_micros(), row.tags.join(" "), metadata.len());
    let text = format!(
        "{position}\n{version}\n{event_id}\n{micros}\n{schema_version}\n{stream}\n{event_type}\n{tags}\n{length}\n{metadata}\n{data}"
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
            let Some(seal) = self.seals.front() else { return Ok(()) };
            if seal.last_position < row.position {
                self.close(found);
                continue;
            }
            let nth = usize::try_from(row.position - seal.first_position).ok();
            let kept = nth.and_then(|nth| seal.event_digests.chunks(KEPT).nth(nth));
            let own = digest(row);
            if kept.is_none_or(|kept| own[..KEPT] != *kept) {
                self.named = true;
                found.find(row.position, "the event is not the one that was sealed".to_owned());
            }
            self.events.extend(own);
            if seal.last_position == row.position {
                self.close(found);
            }
            return Ok(());
        }
    }

    /// After the last event: seals that speak of more are of events that are missing.
    pub(super) async fn end(
        &mut self,
        connection: &mut Connection,
        head: i64,
        found: &mut Verification,
    ) -> sqlx::Result<()> {
        loop {
            self.look(connection).await?;
            let Some(seal) = self.seals.front() else { return Ok(()) };
            let (first, last) = (seal.first_position.max(head + 1), seal.last_position);
            found.find(
                first,
                format!(
                    "no event stands here and up to position {last}, and events were sealed there"
                ),
            );
            self.named = true;
            self.close(found);
        }
    }

    /// Reads the next seals when those before are compared.
    async fn look(&mut self, connection: &mut Connection) -> sqlx::Result<()> {
        // More may have been sealed since the last look, but nothing that is not behind the head then: a short check is of what was there.
        if self.seals.is_empty() && !self.exhausted {
            let page = sqlx::query_file_as!(Seal, "sql/verify_digests.sql", self.read_to, SEALS)
                .fetch_all(connection)
                .await?;
            self.exhausted = page.is_empty();
            self.read_to = page.last().map_or(self.read_to, |last| last.last_position);
            self.seals = page.into();
        }
        Ok(())
    }

    /// Compares the seal as a whole, and goes on to the next.
    fn close(&mut self, found: &mut Verification) {
        let Some(seal) = self.seals.pop_front() else { return };
        let (first, last) = (seal.first_position, seal.last_position);
        let whole = Sha256::new()
            .chain_update(seal.previous.as_deref().unwrap_or_default())
            .chain_update(&self.events)
            .finalize();
        self.events.clear();
        let named = std::mem::take(&mut self.named);
        if seal.previous != self.before.1 || first != self.before.0 + 1 {
            found.find(
                first,
                format!(
                    "the seal of positions {first} to {last} does not follow the one before it"
                ),
            );
        } else if !named && seal.digest != whole.as_slice() {
            found.find(
                first,
                format!("the events at positions {first} to {last} are not as they were sealed"),
            );
        }
        self.before = (last, Some(seal.digest));
        found.sealed_to = Position(last);
    }
}
