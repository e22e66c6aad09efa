//! Parked events: list them by cause, retry, skip or export them.
//!
//! Nothing here changes a row. A retry is a request and a skip is a decision; the owner of the
//! partition carries both out.

use std::time::Duration;

use postgres_kit::Connection;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::projection::AnyProjection;

mod show;
mod skip;

pub use show::{ParkedEvent, Shown, export_after, show};
pub use skip::{Decision, MAX_WORDS, SkipError, skip};

/// How long a retry waits for its outcome by default, in seconds.
pub const RETRY_WAIT_SECONDS: u64 = 30;
/// How often the outcome of a retry is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The maximum number of entries.
    pub limit: i64,
    /// The number of entries before the page.
    pub offset: i64,
}

/// Why parked events could not be shown, retried or skipped.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The text is not a key of the projection's rows.
    #[error("{1:?} is not a key of {0}")]
    NotAKey(&'static str, String),
    /// No matching event is parked.
    #[error("nothing {1} of {0} is parked")]
    NothingParked(&'static str, String),
    /// The event was not skipped.
    #[error(transparent)]
    Skip(#[from] SkipError),
}

/// A summary of the parked events.
#[derive(Debug, Serialize)]
pub struct List {
    /// The number of refused events, counted once per row.
    pub refused: i64,
    /// The number of events held back behind them, counted once per row.
    pub held_back: i64,
    /// The number of rows that lack events.
    pub rows: i64,
    /// The number of groups.
    pub groups: i64,
    /// A page of the groups, largest first.
    pub page: Vec<Group>,
}

/// Parked events that were refused for the same cause.
#[derive(Debug, Serialize)]
pub struct Group {
    /// The name of the projection.
    pub projection: String,
    /// The number of the generation.
    pub generation: i32,
    /// The type of the events.
    pub event_type: String,
    /// Why the fold refused them.
    pub cause: String,
    /// The number of events, counted once per row.
    pub events: i64,
    /// The number of rows that lack them.
    pub rows: i64,
    /// The position of the first event.
    pub first_position: i64,
    /// The position of the last event.
    pub last_position: i64,
    /// The highest number of retries of any of the events.
    pub most_tries: i32,
}

/// The outcome of a retry.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Retried {
    /// The number of rows whose events were to be retried.
    pub rows: i64,
    /// The number of those rows that no projector has handled yet.
    pub waiting: i64,
    /// The number of those rows that still lack events.
    pub still_stale: i64,
}

/// Selects parked events of a projection: of one row, at one position, or all.
#[derive(Debug, Clone)]
pub struct Wanted {
    projection: &'static str,
    key: Option<String>,
    position: Option<i64>,
}

impl Wanted {
    /// Selects the parked events of a projection, optionally only those of one row or at one
    /// position.
    ///
    /// # Errors
    /// [`ParkedError::NotAKey`].
    pub fn new(
        projection: &dyn AnyProjection,
        key: Option<&str>,
        position: Option<i64>,
    ) -> Result<Self, ParkedError> {
        let name = projection.name();
        let parse = |text: &str| {
            projection.key(text).ok_or_else(|| ParkedError::NotAKey(name, text.to_owned()))
        };
        Ok(Self { projection: name, key: key.map(parse).transpose()?, position })
    }

    fn none(&self) -> ParkedError {
        let key = self.key.as_ref().map(|key| format!("of row {key}"));
        let position = self.position.map(|position| format!("at position {position}"));
        let words: Vec<String> = key.into_iter().chain(position).collect();
        let what = if words.is_empty() { "at all".to_owned() } else { words.join(" ") };
        ParkedError::NothingParked(self.projection, what)
    }
}

/// Lists the parked events of one projection or of all.
///
/// # Errors
/// Postgres's error.
pub async fn list(
    connection: &mut Connection,
    name: Option<&str>,
    page: Page,
) -> sqlx::Result<List> {
    let Page { limit, offset } = page;
    let counted = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE cause IS NOT NULL) AS "refused!", count(*) FILTER (WHERE
            cause IS NULL) AS "held_back!",
                  count(DISTINCT (projection, generation, key)) AS "rows!",
                  count(DISTINCT (projection, generation, event_type, cause)) FILTER (WHERE cause
                  IS NOT NULL) AS "groups!"
           FROM read_model.parked WHERE $1::text IS NULL OR projection = $1"#,
        name
    )
    .fetch_one(&mut *connection)
    .await?;
    let page = sqlx::query_as!(
        Group,
        r#"SELECT projection, generation, event_type, cause AS "cause!", count(*) AS "events!",
            count(DISTINCT key) AS "rows!",
                  min(position) AS "first_position!", max(position) AS "last_position!",
                  max(tries) AS "most_tries!"
           FROM read_model.parked WHERE ($1::text IS NULL OR projection = $1) AND cause IS NOT NULL
           GROUP BY projection, generation, event_type, cause
           ORDER BY count(*) DESC, projection, generation, event_type, cause LIMIT $2 OFFSET $3"#,
        name,
        limit,
        offset
    )
    .fetch_all(connection)
    .await?;
    Ok(List {
        refused: counted.refused,
        held_back: counted.held_back,
        rows: counted.rows,
        groups: counted.groups,
        page,
    })
}

/// Asks the running projector to retry parked events now, in order for each row. Waits for the
/// outcome, at most for `wait`.
///
/// # Errors
/// [`ParkedError::NothingParked`], [`ParkedError::Database`].
pub async fn retry(
    connection: &mut Connection,
    wanted: &Wanted,
    wait: Duration,
) -> Result<Retried, ParkedError> {
    let Wanted { projection: name, key, position } = wanted;
    let asked = sqlx::query!(
        "INSERT INTO read_model.retry_requests (projection, generation, key)
         SELECT DISTINCT projection, generation, key FROM read_model.parked
         WHERE projection = $1 AND ($2::text IS NULL OR key = $2) AND ($3::bigint IS NULL OR \
         position = $3)
         ON CONFLICT (projection, generation, key) DO UPDATE SET requested_at = \
         excluded.requested_at
         RETURNING generation, key",
        name,
        key.as_deref(),
        *position
    )
    .fetch_all(&mut *connection)
    .await?;
    if asked.is_empty() {
        return Err(wanted.none());
    }
    let (generations, keys): (Vec<i32>, Vec<String>) =
        asked.into_iter().map(|row| (row.generation, row.key)).unzip();
    let until = Instant::now() + wait;
    loop {
        let retried = sqlx::query_as!(
            Retried,
            r#"SELECT count(*) AS "rows!", count(r.key) AS "waiting!", count(s.key) AS
                "still_stale!"
               FROM unnest($2::integer[], $3::text[]) AS asked (generation, key)
               LEFT JOIN read_model.retry_requests AS r ON (r.projection, r.generation, r.key) =
               ($1, asked.generation, asked.key)
               LEFT JOIN read_model.stale AS s ON (s.projection, s.generation, s.key) = ($1,
               asked.generation, asked.key)"#,
            name,
            &generations,
            &keys
        )
        .fetch_one(&mut *connection)
        .await?;
        if retried.waiting == 0 || Instant::now() >= until {
            return Ok(retried);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
