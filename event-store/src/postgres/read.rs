//! Reads. Each is one autocommit statement, so no page holds a snapshot while its reader works.

use postgres_kit::Pool;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Inner;
use super::current::{behind, on_current};
use super::error::read_error;
use crate::append::prepared::Prepared;
use crate::append::{AppendOutcome, Idempotency, Refusal, ReservedValue};
use crate::error::{InvalidName, StoreError};
use crate::event::Head;
use crate::event::{Epoch, EventRef, EventType, Position, RecordedEvent, Tag};
use crate::query::{EventQuery, Filter};
use crate::registry::WrittenType;
use crate::store::{MAX_PAGE, MAX_PAGE_BYTES};
use crate::stream::{StreamName, Version};

/// A row of `event_store.events`.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) position: i64,
    pub(super) version: i64,
    pub(super) event_id: Uuid,
    pub(super) recorded_at: chrono::DateTime<chrono::Utc>,
    pub(super) schema_version: i32,
    pub(super) stream: String,
    pub(super) event_type: String,
    pub(super) data: String,
    pub(super) tags: Vec<String>,
    pub(super) metadata: String,
    pub(super) bytes: i32,
}

impl TryFrom<Row> for RecordedEvent {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let position = row.position;
        let name = |error: InvalidName| damaged(position, &error);
        Ok(Self {
            position: Position(position),
            stream: row.stream.parse().map_err(name)?,
            version: Version(row.version),
            fragment: 0,
            id: row.event_id,
            event_type: row.event_type.parse().map_err(name)?,
            schema_version: row.schema_version,
            data: RawValue::from_string(row.data).map_err(|error| damaged(position, &error))?,
            tags: row
                .tags
                .into_iter()
                .map(Tag::try_from)
                .collect::<Result<_, _>>()
                .map_err(name)?,
            metadata: serde_json::from_str(&row.metadata)
                .map_err(|error| damaged(position, &error))?,
            recorded_at: row.recorded_at,
            bytes: u32::try_from(row.bytes).unwrap_or(0),
        })
    }
}

fn damaged(position: i64, error: &dyn std::error::Error) -> StoreError {
    StoreError::Unusable(format!("the event at position {position} cannot be read: {error}"))
}

/// The value of [`MAX_PAGE_BYTES`] as a Postgres integer.
#[expect(clippy::cast_possible_wrap, reason = "a few MiB")]
pub(super) const PAGE_BYTES: i64 = MAX_PAGE_BYTES as i64;

pub(super) fn page(limit: u32) -> i64 {
    limit.min(MAX_PAGE).into()
}

/// How often the head is read, if the first server that names it is behind.
const HEAD_TRIES: u32 = 2;

impl Inner {
    /// Converts the error of a read. A failed proof of continuity explains more than "no
    /// connection", so it comes first.
    pub(super) fn failed(&self, error: sqlx::Error) -> StoreError {
        self.continuity.broken().unwrap_or_else(|| read_error(error))
    }

    pub(super) fn events(&self, rows: Vec<Row>) -> Result<Vec<RecordedEvent>, StoreError> {
        let events =
            rows.into_iter().map(RecordedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
        if let Some(newest) = events.iter().max_by_key(|e| e.position) {
            self.continuity.learn(newest.mark());
        }
        Ok(events)
    }

    pub(super) async fn head(&self) -> Result<Head, StoreError> {
        self.head_through(&self.lookup).await
    }

    /// Reads the head without queueing behind other reads.
    pub(super) async fn head_past_the_queue(&self) -> Result<Head, StoreError> {
        self.head_through(&self.lookup.past_the_queue()).await
    }

    async fn head_through(&self, pool: &Pool) -> Result<Head, StoreError> {
        self.continuity.check().await?;
        for _ in 0..HEAD_TRIES {
            let known = self.continuity.position();
            let row = sqlx::query_file!("sql/head.sql").fetch_one(pool).await;
            let row = row.map_err(|error| self.failed(error))?;
            let epoch = Epoch(row.epoch);
            let mark = row.position.map_or(EventRef::START, |p| EventRef {
                position: Position(p),
                event_id: row.event_id,
            });
            self.continuity.accept(epoch).await?;
            if mark.position >= known {
                self.continuity.learn_head(mark);
                return Ok(Head { epoch, mark });
            }
            // The log never gets shorter, so this is not its end.
            behind(pool, known);
        }
        Err(self.away())
    }

    /// Rejects a server that can lose acknowledged data, for readiness; appends check by
    /// themselves. It does not queue behind reads.
    pub(super) async fn assert_safe(&self) -> Result<(), StoreError> {
        self.continuity.check().await?;
        let row = sqlx::query_file!("sql/unsafe_setting.sql")
            .fetch_one(&self.lookup.past_the_queue())
            .await;
        row.map_err(|error| self.failed(error))?
            .unsafe_setting
            .map_or(Ok(()), |why| Err(StoreError::Unsafe(why)))
    }

    pub(super) async fn event_ref_at(
        &self,
        position: Position,
    ) -> Result<Option<EventRef>, StoreError> {
        self.continuity.check().await?;
        if position == Position::START {
            return Ok(Some(EventRef::START));
        }
        let row = on_current!(
            self.lookup,
            fetch_optional,
            sqlx::query_file!("sql/event_ref_at.sql", position.0)
        );
        Ok(row?.map(|row| EventRef { position, event_id: Some(row.event_id) }))
    }

    pub(super) async fn descends_from(&self, epoch: Epoch) -> Result<bool, StoreError> {
        self.continuity.check().await?;
        let row = on_current!(
            self.lookup,
            fetch_one,
            sqlx::query_file!("sql/descends_from.sql", epoch.0)
        );
        Ok(row?.descends)
    }

    pub(super) async fn read(
        &self,
        filter: &Filter,
        after: Position,
        limit: u32,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.continuity.check().await?;
        let (after, limit) = (after.0, page(limit));
        let rows = match filter {
            Filter::All => self.read_all(after, limit).await,
            Filter::Query(query) if matches_all(query) => self.read_all(after, limit).await,
            Filter::Category(category) => on_current!(
                self.scan,
                fetch_all,
                sqlx::query_file_as!(
                    Row,
                    "sql/read_category.sql",
                    category,
                    after,
                    limit,
                    PAGE_BYTES
                )
            ),
            Filter::Types(types) => {
                let types = texts(types);
                on_current!(
                    self.scan,
                    fetch_all,
                    sqlx::query_file_as!(
                        Row,
                        "sql/read_types.sql",
                        &types,
                        after,
                        limit,
                        PAGE_BYTES
                    )
                )
            }
            Filter::Query(query) => self.read_query(query, after, limit).await,
        };
        self.events(rows?)
    }

    async fn read_all(&self, after: i64, limit: i64) -> Result<Vec<Row>, StoreError> {
        on_current!(
            self.lookup,
            fetch_all,
            sqlx::query_file_as!(Row, "sql/read_all.sql", after, limit, PAGE_BYTES)
        )
    }

    async fn read_query(
        &self,
        query: &EventQuery,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let (tagged, untagged): (Vec<_>, Vec<_>) =
            query.items.iter().partition(|item| !item.tags.is_empty());
        let tags: Vec<String> =
            tagged.iter().map(|item| joined(item.tags.iter().map(Tag::as_str))).collect();
        let types: Vec<String> =
            tagged.iter().map(|item| joined(item.types.iter().map(EventType::as_str))).collect();
        let alone: Vec<String> = untagged.iter().flat_map(|item| texts(&item.types)).collect();
        on_current!(
            self.scan,
            fetch_all,
            sqlx::query_file_as!(
                Row,
                "sql/read_query.sql",
                &tags,
                &types,
                &alone,
                after,
                limit,
                PAGE_BYTES
            )
        )
    }

    pub(super) async fn read_range(
        &self,
        types: &[EventType],
        after: Position,
        to: Position,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        self.continuity.check().await?;
        let types = texts(types);
        let rows = on_current!(
            self.scan,
            fetch_all,
            sqlx::query_file_as!(Row, "sql/read_range.sql", &types, after.0, to.0, PAGE_BYTES)
        );
        self.events(rows?)
    }

    pub(super) async fn reservation_owners(
        &self,
        reservations: &[ReservedValue],
    ) -> Result<Vec<Option<StreamName>>, StoreError> {
        self.continuity.check().await?;
        let scopes: Vec<String> =
            reservations.iter().map(|reservation| reservation.scope.to_string()).collect();
        let hashes: Vec<Vec<u8>> =
            reservations.iter().map(|reservation| reservation.hash.to_vec()).collect();
        let rows = on_current!(
            self.lookup,
            fetch_all,
            sqlx::query_file!("sql/reservation_owners.sql", &scopes, &hashes)
        );
        let unreadable = |error: InvalidName| {
            StoreError::Unusable(format!("the owner of a reservation cannot be read: {error}"))
        };
        let rows = rows?.into_iter();
        rows.map(|row| row.owner.map(StreamName::try_from).transpose().map_err(unreadable))
            .collect()
    }

    pub(super) async fn written_types(&self) -> Result<Vec<WrittenType>, StoreError> {
        self.continuity.check().await?;
        let rows = on_current!(self.scan, fetch_all, sqlx::query_file!("sql/written_types.sql"));
        let unreadable = |error: InvalidName| {
            StoreError::Unusable(format!("an event type of the log cannot be read: {error}"))
        };
        rows?
            .into_iter()
            .map(|row| {
                Ok(WrittenType {
                    event_type: row.event_type.parse()?,
                    schema_version: row.schema_version,
                })
            })
            .collect::<Result<_, _>>()
            .map_err(unreadable)
    }

    pub(super) async fn repeated(
        &self,
        idempotency: &Idempotency,
    ) -> Result<Option<AppendOutcome>, StoreError> {
        self.continuity.check().await?;
        let row = on_current!(
            self.lookup,
            fetch_one,
            sqlx::query_file!("sql/repeated.sql", &idempotency.key)
        );
        if !row?.there {
            return Ok(None);
        }
        // A read also sees a commit that still waits for its standby or has stopped waiting. An
        // append's commit waits for all before it, so the answer is sent only after such a commit.
        match self.batcher.append(Prepared::look(idempotency)?).await {
            Ok(
                outcome @ (AppendOutcome::Repeated { .. }
                | AppendOutcome::Refused(Refusal::KeyReused)),
            ) => Ok(Some(outcome)),
            // The server that had the record is gone, and the record with it.
            Ok(AppendOutcome::Refused(Refusal::Epoch { .. })) => Ok(None),
            Ok(_) => Err(StoreError::Unusable(
                "the lookup of an idempotency key was answered as an append".to_owned(),
            )),
            // The first append's changes are there, but may still be lost.
            Err(StoreError::Unavailable(error)) => Err(StoreError::OutcomeUnknown(error)),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn reservations_of(
        &self,
        id: &str,
        limit: u32,
    ) -> Result<Vec<(ReservedValue, StreamName)>, StoreError> {
        self.continuity.check().await?;
        let rows = on_current!(
            self.scan,
            fetch_all,
            sqlx::query_file!("sql/reservations_of.sql", id, page(limit))
        );
        let held = rows?.into_iter().map(|row| {
            let hash = <[u8; 32]>::try_from(row.hash.as_slice()).ok();
            let owner = row.owner.parse().ok();
            let held = hash
                .zip(owner)
                .map(|(hash, owner)| (ReservedValue { scope: row.scope.into(), hash }, owner));
            held.ok_or_else(|| StoreError::Unusable("a reservation cannot be read".to_owned()))
        });
        held.collect()
    }
}

fn texts(types: &[EventType]) -> Vec<String> {
    types.iter().map(|t| t.as_str().to_owned()).collect()
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a query matches every event: it has no item, or one with neither tag nor type.
fn matches_all(query: &EventQuery) -> bool {
    query.items.is_empty()
        || query.items.iter().any(|item| item.tags.is_empty() && item.types.is_empty())
}
