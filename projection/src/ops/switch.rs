//! Chooses the generation that queries see: switch to another one, switch back, and drop one.
//!
//! A switch is one short transaction. It locks the live generation's checkpoint so that queries see
//! no progress, waits until the other generation is not behind, and replaces the view. It waits
//! only briefly for locks, so that queries never queue behind a switch that waits for a long query.
//! Then it releases everything and retries.

use std::sync::Arc;
use std::time::Duration;

use event_store::{EventRef, Position};
use postgres_kit::Connection;
use postgres_kit::sqlstate::{LOCK_NOT_AVAILABLE, has_sqlstate};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::rebuild::builder::Builder;
use super::rebuild::{self, RebuildError};
use super::{Operations, Progress, Silent, Work};
use crate::generation;
use crate::projection::AnyProjection;
use crate::replay::pace::Pace;
use crate::replay::{MIB, RANGE, ROW_MEMORY_MIB, ReplayError, Source};
use crate::runner::discover;

/// How long a switch is retried by default, in seconds.
pub const PATIENCE_SECONDS: u32 = 60;
/// The longest random pause between two attempts.
const MOST_PAUSE: Duration = Duration::from_millis(500);
/// How long the live generation is held while the other one catches up.
const HOLD: Duration = Duration::from_secs(1);
/// How long one attempt may take. It holds the live generation.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
/// How often the other generation's position is checked meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long dropping a generation's tables may take.
const DROP_LIMIT: Duration = Duration::from_mins(1);

/// The result of one attempt to switch.
enum Try {
    /// It succeeded. The value is the generation that was live before.
    Done(Option<i32>),
    /// A lock was not available.
    Locked,
    /// The other generation is behind.
    Behind { at: Position, shown: Position },
}

/// Makes queries see this generation. Returns the one they saw before. `mover` moves the
/// generation, if this process holds it.
pub(crate) async fn switch(
    operations: &Operations,
    source: &Arc<Source>,
    generation: i32,
    patience: Duration,
    mut mover: Option<&mut Builder>,
) -> Result<Option<i32>, RebuildError> {
    let name = source.projection().name();
    let mut connection = operations.connect().await?;
    let mut last = Try::Locked;
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(builder) = mover.as_deref_mut() {
            let head = builder.look_at_head().await?;
            builder.go_on(head, &Silent).await?;
        }
        last = match attempt(&mut connection, source, generation, mover.as_deref_mut()).await {
            Ok(Try::Done(old)) => return Ok(old),
            Ok(other) => other,
            Err(RebuildError::Database(error)) if is_lock_timeout(&error) => Try::Locked,
            Err(error) => return Err(error),
        };
        tokio::time::sleep(MOST_PAUSE.mul_f64(rand::random_range(0.1..1.0))).await;
    }
    match last {
        Try::Behind { at, shown } => Err(RebuildError::WouldGoBack {
            projection: name.to_owned(),
            generation,
            at,
            shown,
            why: String::new(),
        }),
        Try::Done(_) | Try::Locked => Err(RebuildError::NoMoment(name.to_owned())),
    }
}

fn is_lock_timeout(error: &sqlx::Error) -> bool {
    has_sqlstate(error, &[LOCK_NOT_AVAILABLE])
}

async fn attempt(
    connection: &mut Connection,
    source: &Arc<Source>,
    generation: i32,
    mover: Option<&mut Builder>,
) -> Result<Try, RebuildError> {
    let attempt = async |raw: &mut PgConnection| attempt_with(raw, source, generation, mover).await;
    connection.run_within(ATTEMPT_LIMIT, attempt).await
}

async fn attempt_with(
    connection: &mut PgConnection,
    source: &Arc<Source>,
    generation: i32,
    mover: Option<&mut Builder>,
) -> Result<Try, RebuildError> {
    let name = source.projection().name();
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql("SET LOCAL lock_timeout = '100ms'").execute(&mut *transaction).await?;
    generation::lock(&mut transaction).await?;
    let live = generation::live(&mut transaction, name).await?.map(|live| live.generation);
    if live == Some(generation) {
        return Ok(Try::Done(None));
    }
    if let Some(live) = live {
        let shown = hold(&mut transaction, name, live).await?;
        // Positions of another history are not comparable.
        let comparable = match source.prove(shown).await {
            Err(ReplayError::OtherHistory(_)) => false,
            proved => proved.map(|()| true)?,
        };
        let shown = shown.position;
        if comparable {
            let at = match mover {
                Some(builder) if shown.0 - builder.at().0 <= RANGE => {
                    builder.go_on(shown, &Silent).await?;
                    builder.at()
                }
                Some(builder) => builder.at(),
                None => come_up(&mut transaction, name, generation, shown).await?,
            };
            if at < shown {
                transaction.rollback().await?;
                return Ok(Try::Behind { at, shown });
            }
        }
    }
    generation::show(&mut transaction, name, generation).await?;
    sqlx::query!(
        "UPDATE read_model.rebuilds SET phase = 'switched' WHERE projection = $1 AND \
        generation = $2",
        name,
        generation
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Try::Done(live))
}

/// Holds the live generation's partitions at their positions until the end of the transaction.
/// Returns the highest position.
async fn hold(
    transaction: &mut PgConnection,
    projection: &str,
    live: i32,
) -> sqlx::Result<EventRef> {
    let rows = sqlx::query!(
        "SELECT position, event_id FROM read_model.checkpoints WHERE projection = $1 AND \
            generation = $2 ORDER BY partition FOR UPDATE",
        projection,
        live
    )
    .fetch_all(transaction)
    .await?;
    let furthest = rows.into_iter().max_by_key(|row| row.position);
    Ok(furthest.map_or(EventRef::START, |row| EventRef {
        position: Position(row.position),
        event_id: row.event_id,
    }))
}

/// Waits briefly until the generation's owner has brought it to `to`. Returns its position.
async fn come_up(
    transaction: &mut PgConnection,
    projection: &str,
    generation: i32,
    to: Position,
) -> sqlx::Result<Position> {
    let deadline = Instant::now() + HOLD;
    loop {
        let at = rebuild::position(&mut *transaction, projection, generation).await?;
        if at >= to || Instant::now() > deadline {
            return Ok(at);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The result of a switch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Switched {
    /// The generation that queries see now.
    pub generation: i32,
    /// The generation that they saw before, if it was another one.
    pub old: Option<i32>,
}

/// Switches back to the generation that was live before. It catches up first.
///
/// `patience` is how long to retry while queries hold the tables or the generation is behind.
///
/// # Errors
/// [`RebuildError`].
pub async fn switch_back(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<Switched, RebuildError> {
    let name = projection.name();
    let Some(generation) = earlier(&mut operations.connect().await?, name).await? else {
        return Err(RebuildError::NothingToSwitchBackTo(name.to_owned()));
    };
    switch_to(operations, projection, generation, (patience, progress)).await
}

/// Switches to a finished generation. It catches up first.
///
/// # Errors
/// [`RebuildError`].
pub(crate) async fn switch_to(
    operations: &Operations,
    projection: &Arc<dyn AnyProjection>,
    generation: i32,
    (patience, progress): (Duration, &dyn Progress),
) -> Result<Switched, RebuildError> {
    let (name, source) = (projection.name(), operations.source(projection));
    let find = async |raw: &mut PgConnection| discover::find(raw, name, generation).await;
    let Some(found) = operations.connect().await?.run(find).await? else {
        return Err(RebuildError::NoGeneration(name.to_owned(), generation));
    };
    if !found.is_made_by(projection.as_ref()) {
        let switched = switch(operations, &source, generation, patience, None).await;
        let old = switched.map_err(|error| because_of_another_fold(error, found.fold_version))?;
        return Ok(Switched { generation, old });
    }
    let bytes = ROW_MEMORY_MIB.saturating_mul(MIB);
    let mover = Builder::take(operations, &source, generation, bytes, Pace::new(None)).await?;
    let Some(mut builder) = mover else {
        let old = switch(operations, &source, generation, patience, None).await?;
        return Ok(Switched { generation, old });
    };
    let head = builder.look_at_head().await?;
    progress.begins(Work::CatchingUp(name, generation), builder.at(), head);
    builder.go_on(head, progress).await?;
    progress.ends();
    let switched = switch(operations, &source, generation, patience, Some(&mut builder)).await;
    builder.give_up().await?;
    Ok(Switched { generation, old: switched? })
}

/// Explains why a generation of another fold version does not catch up.
fn because_of_another_fold(error: RebuildError, fold_version: i32) -> RebuildError {
    match error {
        RebuildError::WouldGoBack { projection, generation, at, shown, .. } => {
            let why = format!(
                "; it has fold version {fold_version}, which is not this program's: \
                    run a projector of that version to catch it up"
            );
            RebuildError::WouldGoBack { projection, generation, at, shown, why }
        }
        error => error,
    }
}

/// The number of the generation that was live before.
pub(crate) async fn earlier(
    connection: &mut Connection,
    projection: &str,
) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "SELECT generation FROM read_model.generations
         WHERE projection = $1 AND NOT live AND state = 'ready' AND live_until IS NOT NULL ORDER \
         BY live_until DESC LIMIT 1",
        projection
    )
    .fetch_optional(connection)
    .await
}

/// Checks that a generation exists and is not live.
///
/// # Errors
/// [`RebuildError::NotDropped`], [`RebuildError::Database`].
pub async fn can_be_dropped(
    connection: &mut Connection,
    projection: &str,
    generation: i32,
) -> Result<(), RebuildError> {
    let numbered =
        async |raw: &mut PgConnection| generation::numbered(raw, projection, generation).await;
    let why = match connection.run(numbered).await? {
        None => "it does not exist",
        Some(found) if found.live => "queries see it",
        Some(_) => return Ok(()),
    };
    Err(RebuildError::NotDropped(projection.to_owned(), generation, why))
}

/// Drops a generation that is not live, with all its rows.
///
/// # Errors
/// [`RebuildError::NotDropped`], [`RebuildError::Database`].
pub async fn drop_generation(
    connection: &mut Connection,
    projection: &str,
    generation: i32,
) -> Result<(), RebuildError> {
    let drop = async |raw: &mut PgConnection| drop_with(raw, projection, generation).await;
    connection.run_within(DROP_LIMIT, drop).await
}

async fn drop_with(
    connection: &mut PgConnection,
    projection: &str,
    generation: i32,
) -> Result<(), RebuildError> {
    let not_dropped = |why| RebuildError::NotDropped(projection.to_owned(), generation, why);
    let mut transaction = generation::locked(connection).await?;
    let found = sqlx::query!(
        r#"SELECT live, state, EXISTS (
               SELECT FROM read_model.leases AS l
               JOIN pg_stat_activity AS a ON a.pid = l.backend_pid AND a.application_name =
               'projector ' || l.owner
               WHERE starts_with(l.name, read_model.generation_schema($1, $2) || '/') AND
               l.expires_at >= clock_timestamp()
           ) AS "held!"
           FROM read_model.generations WHERE projection = $1 AND generation = $2"#,
        projection,
        generation
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let found = found.ok_or_else(|| not_dropped("it does not exist"))?;
    if found.live {
        return Err(not_dropped("queries see it"));
    }
    if found.state == "building" && found.held {
        let why = "it is being built: stop that with `projector rebuild NAME --pause`";
        return Err(not_dropped(why));
    }
    sqlx::query!("SELECT read_model.drop_generation($1, $2)", projection, generation)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}
