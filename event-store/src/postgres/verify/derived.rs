//! Rebuilds reservations and idempotency records from the log and compares them with the tables.
//!
//! All tags, reservations and idempotency records can be derived from the log, since the events
//! record what their append changed.

use postgres_kit::Connection;
use sqlx::Executor;

use super::{MAX_FINDINGS, Row, Verification};
use crate::append::stored_append::{self, StoredReservation};

/// Reservations as the log tells them: in a temporary table, since a log may have more than fit
/// into memory.
const TOLD: &str = "CREATE TEMPORARY TABLE told_reservations (
    scope text COLLATE \"C\", hash bytea, owner text COLLATE \"C\", position bigint, PRIMARY KEY \
    (scope, hash))";
const RELEASE: &str =
    "DELETE FROM pg_temp.told_reservations WHERE scope = $1 AND hash = $2 AND owner = $3";
const TAKE: &str = "INSERT INTO pg_temp.told_reservations (scope, hash, owner, position) VALUES \
    ($1, $2, $3, $4) ON CONFLICT (scope, hash) DO NOTHING";

/// The counts of the comparison.
#[derive(Default)]
pub(super) struct Derived {
    tags: i64,
    keys: i64,
}

/// The idempotency records of a page, as parallel arrays.
#[derive(Default)]
struct Keys {
    key: Vec<Vec<u8>>,
    request_hash: Vec<Vec<u8>>,
    position: Vec<i64>,
    events: Vec<i32>,
    streams: Vec<String>,
    answer: Vec<String>,
}

impl Derived {
    pub(super) async fn begin(connection: &mut Connection) -> sqlx::Result<Self> {
        connection.execute("DROP TABLE IF EXISTS pg_temp.told_reservations").await?;
        connection.execute(TOLD).await?;
        Ok(Self::default())
    }

    /// Collects a page's reservations and compares its idempotency records.
    pub(super) async fn compare_keys(
        &mut self,
        connection: &mut Connection,
        rows: &[Row],
        found: &mut Verification,
    ) -> sqlx::Result<()> {
        let mut keys = Keys::default();
        for row in rows {
            self.tags += i64::try_from(row.tags.len()).unwrap_or(i64::MAX);
            let stored_append = match stored_append::read(&row.metadata) {
                Ok(Some(stored_append)) => stored_append,
                Ok(None) => continue,
                Err(error) => {
                    found.find(
                        row.position,
                        format!("the record of its append in its metadata cannot be read: {error}"),
                    );
                    continue;
                }
            };
            for reservation in &stored_append.reservations {
                tell(connection, reservation, row.position).await?;
            }
            if let Some(key) = stored_append.key {
                keys.key.push(key.key.to_vec());
                keys.request_hash.push(key.request_hash.to_vec());
                keys.position.push(row.position);
                keys.events.push(i32::try_from(stored_append.events).unwrap_or(i32::MAX));
                keys.streams.push(key.streams.join(" "));
                keys.answer.push(key.answer.get().to_owned());
            }
        }
        if keys.key.is_empty() {
            return Ok(());
        }
        self.keys += i64::try_from(keys.key.len()).unwrap_or(i64::MAX);
        let Keys { key, request_hash, position, events, streams, answer } = keys;
        let compared = sqlx::query_file!(
            "sql/verify_keys.sql",
            &key,
            &request_hash,
            &position,
            &events,
            &streams,
            &answer
        );
        for row in compared.fetch_all(connection).await?.into_iter().filter(|row| !row.same) {
            found.find(
                row.position,
                "the idempotency record of its append is missing or differs".to_owned(),
            );
        }
        Ok(())
    }

    /// Compares the current reservations with those from the log, in the snapshot in which its last
    /// events were read.
    pub(super) async fn end(
        self,
        connection: &mut Connection,
        found: &mut Verification,
    ) -> sqlx::Result<()> {
        let counts = sqlx::query_file!("sql/verify_counts.sql").fetch_one(&mut *connection).await?;
        (found.keys, found.keys_without_events, found.reservations) =
            (counts.keys, counts.keys_without_events, counts.reservations);
        if counts.tags != self.tags {
            found.find(
                None,
                format!(
                    "the table of tags has {} rows, but the events have {} tags",
                    counts.tags, self.tags
                ),
            );
        }
        if counts.keys != self.keys {
            found.find(
                None,
                format!(
                    "{} idempotency records belong to events, but the log records {}",
                    counts.keys, self.keys
                ),
            );
        }
        let most = i64::try_from(MAX_FINDINGS).unwrap_or(i64::MAX);
        // Not query_file!: the table exists only on this connection.
        let differing = sqlx::query_as::<_, (String, String, Option<String>, Option<String>, i64)>(
            include_str!("../../../sql/verify_reservations.sql"),
        )
        .bind(most)
        .fetch_all(connection)
        .await?;
        for (scope, hash, held, told, position) in differing {
            let by = |owner: Option<String>| owner.unwrap_or_else(|| "nobody".to_owned());
            let what = format!(
                "the reservation {hash} of {scope} is held by {} but according to the log by {}",
                by(held),
                by(told)
            );
            found.find(position, what);
        }
        Ok(())
    }
}

async fn tell(
    connection: &mut Connection,
    reservation: &StoredReservation<String>,
    position: i64,
) -> sqlx::Result<()> {
    if let Some(owner) = &reservation.release {
        sqlx::query(RELEASE)
            .bind(&reservation.scope)
            .bind(reservation.hash.as_slice())
            .bind(owner)
            .execute(&mut *connection)
            .await?;
    }
    if let Some(owner) = &reservation.take {
        sqlx::query(TAKE)
            .bind(&reservation.scope)
            .bind(reservation.hash.as_slice())
            .bind(owner)
            .bind(position)
            .execute(connection)
            .await?;
    }
    Ok(())
}
