//! Reads of one stream. A short page shares a statement with others (`tails.rs`).

use super::Inner;
use super::current::{behind, on_current};
use super::read::{PAGE_BYTES, Row, page};
use super::tails::Tail;
use crate::error::StoreError;
use crate::event::RecordedEvent;
use crate::stream::{StreamName, Version};

/// The maximum page of a stream whose read shares a statement with others. A reader of larger pages
/// expects a long stream.
const MAX_SHARED: u32 = 200;

impl Inner {
    pub(super) async fn read_stream(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.continuity.check().await?;
        if limit <= MAX_SHARED {
            match self.tails.read(stream, after).await {
                Ok(Tail::Whole(mut rows)) => {
                    rows.truncate(limit as usize);
                    return self.events(rows);
                }
                Ok(Tail::Unread) => {}
                Err(Some(error)) => return Err(self.failed(error)),
                Err(None) => return Err(self.away()),
            }
        }
        match self.read_alone(stream, after, limit).await? {
            Some(rows) => self.events(rows),
            // The next connection is a new one, whose server has proved that it is not behind.
            None => match self.read_alone(stream, after, limit).await? {
                Some(rows) => self.events(rows),
                None => Err(self.away()),
            },
        }
    }

    /// Reads a page with a statement of its own. `None` if the server is behind.
    async fn read_alone(
        &self,
        stream: &StreamName,
        after: Version,
        limit: u32,
    ) -> Result<Option<Vec<Row>>, StoreError> {
        let known = self.continuity.position();
        let rows = sqlx::query_file_as!(
            Row,
            "sql/read_stream.sql",
            stream.as_str(),
            after.0,
            page(limit),
            PAGE_BYTES,
            known.0
        );
        let rows = rows.fetch_all(&self.lookup).await.map_err(|error| self.failed(error))?;
        if rows.iter().any(|row| row.position == 0) {
            behind(&self.lookup, known);
            return Ok(None);
        }
        Ok(Some(rows))
    }

    pub(super) async fn read_stream_backward(
        &self,
        stream: &StreamName,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.continuity.check().await?;
        let before = before.map_or(i64::MAX, |v| v.0);
        let rows = on_current!(
            self.lookup,
            fetch_all,
            sqlx::query_file_as!(
                Row,
                "sql/read_stream_backward.sql",
                stream.as_str(),
                before,
                page(limit),
                PAGE_BYTES
            )
        );
        self.events(rows?)
    }
}
