//! What people decide: each decision and its record commit together.

use std::time::Duration;

use event_feed::consumer::Checkpoint;
use event_store::encryption::WrappedKey;
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::Tables;
use crate::limits::{MAX_REPLAYS, MAX_SUBSCRIPTIONS};

/// A subscription to create.
#[derive(Debug)]
pub struct NewSubscription {
    /// Its id.
    pub id: Uuid,
    /// Its name, for people.
    pub name: String,
    /// The URL of the receiver.
    pub url: String,
    /// The event types that it gets, besides `subject.erased`.
    pub types: Vec<String>,
    /// Whether it gets personal fields in the clear.
    pub personal: bool,
    /// Its secret.
    pub secret: WrappedKey,
    /// The place in the log after which it begins.
    pub from: Checkpoint,
}

/// A replay to begin.
#[derive(Debug)]
pub struct NewReplay {
    /// Its id.
    pub id: Uuid,
    /// The place in the log after which it begins.
    pub from: Checkpoint,
    /// Its last position.
    pub until: i64,
    /// Its event types; those of the subscription if there are none.
    pub types: Option<Vec<String>>,
    /// The maximum number of events per second.
    pub rate: i32,
    /// Why.
    pub reason: String,
}

/// A decision about a subscription.
#[derive(Debug)]
pub enum Decision {
    /// Create it.
    Create(NewSubscription),
    /// Send nothing until it is resumed.
    Pause {
        /// Why.
        reason: String,
    },
    /// Go on; from another place, if one is given.
    Resume {
        /// The place in the log after which it goes on.
        from: Option<Checkpoint>,
    },
    /// Replace the secret.
    Rotate {
        /// The new secret.
        secret: WrappedKey,
        /// How long the old one signs, too.
        keep_old: Duration,
    },
    /// Delete it with everything that waits.
    Delete {
        /// Why.
        reason: String,
    },
    /// Try deliveries again now, with all attempts.
    Retry {
        /// The position of one; all parked ones without it.
        position: Option<i64>,
    },
    /// Give up one delivery.
    Skip {
        /// Its position.
        position: i64,
        /// Why.
        reason: String,
    },
    /// Begin a replay.
    Replay(NewReplay),
    /// End a replay before it is done.
    CancelReplay {
        /// Its id.
        replay: Uuid,
    },
}

/// Why a decision had no effect.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such subscription, delivery or unfinished replay, or it is so already.
    #[error("there is nothing that this would change")]
    NothingToDo,
    /// There are as many subscriptions as there may be.
    #[error("there are {MAX_SUBSCRIPTIONS} subscriptions, and no more are possible")]
    TooManySubscriptions,
    /// The subscription has as many unfinished replays as it may have.
    #[error("the subscription has {MAX_REPLAYS} unfinished replays, and no more are possible")]
    TooManyReplays,
    /// The tables failed.
    #[error("the tables of webhooks cannot be used")]
    Tables(#[from] sqlx::Error),
}

impl Decision {
    /// The name in the record.
    const fn action(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Rotate { .. } => "rotate",
            Self::Delete { .. } => "delete",
            Self::Retry { .. } => "retry",
            Self::Skip { .. } => "skip",
            Self::Replay(_) => "replay",
            Self::CancelReplay { .. } => "cancel-replay",
        }
    }

    /// What the record says besides. It has no URL and no secret.
    fn detail(&self) -> Value {
        match self {
            Self::Create(new) => json!({
                "name": new.name, "types": new.types, "personal": new.personal,
                "after": new.from.at.position,
            }),
            Self::Pause { reason } | Self::Delete { reason } => json!({ "reason": reason }),
            Self::Resume { from } => json!({ "after": from.map(|from| from.at.position) }),
            Self::Rotate { keep_old, .. } => json!({ "old_secret_for_s": keep_old.as_secs() }),
            Self::Retry { position } => json!({ "position": position }),
            Self::Skip { position, reason } => json!({ "position": position, "reason": reason }),
            Self::Replay(new) => json!({
                "replay": new.id, "after": new.from.at.position, "until": new.until,
                "types": new.types, "rate": new.rate, "reason": new.reason,
            }),
            Self::CancelReplay { replay } => json!({ "replay": replay }),
        }
    }
}

impl Tables {
    /// Carries out a decision about a subscription, and records who decided, with which session or
    /// API key.
    ///
    /// # Errors
    /// [`DecisionError`]. Nothing was changed.
    pub async fn decide(
        &self,
        subscription: Uuid,
        decision: &Decision,
        (by, credential): (&str, Option<Uuid>),
    ) -> Result<(), DecisionError> {
        let work = async |raw: &mut PgConnection| {
            let mut transaction = raw.begin().await?;
            carry_out(&mut transaction, subscription, decision, by).await?;
            sqlx::query_file!(
                "sql/audit.sql",
                by,
                credential as Option<Uuid>,
                decision.action(),
                subscription,
                decision.detail()
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(())
        };
        self.pool.run(work).await
    }

    /// The subscription of a feed.
    ///
    /// # Errors
    /// Postgres did not answer.
    pub async fn subscription_of(&self, feed: Uuid) -> sqlx::Result<Option<Uuid>> {
        let row = sqlx::query_file!("sql/feed_of.sql", feed).fetch_optional(&self.pool).await?;
        Ok(row.map(|row| row.subscription))
    }
}

async fn carry_out(
    raw: &mut PgConnection,
    id: Uuid,
    decision: &Decision,
    by: &str,
) -> Result<(), DecisionError> {
    let changed = match decision {
        Decision::Create(new) => return create(raw, new, by).await,
        Decision::Replay(new) => return begin_replay(raw, id, new, by).await,
        Decision::Pause { reason } => {
            sqlx::query_file!("sql/pause.sql", id, reason).execute(raw).await?.rows_affected()
        }
        Decision::Resume { from } => {
            if let Some(from) = from {
                move_to(raw, id, *from).await?;
            }
            sqlx::query_file!("sql/resume.sql", id).execute(raw).await?.rows_affected()
        }
        Decision::Rotate { secret, keep_old } => {
            let keep = keep_old.as_secs_f64();
            sqlx::query_file!("sql/rotate.sql", id, secret.master, secret.bytes, keep)
                .execute(raw)
                .await?
                .rows_affected()
        }
        Decision::Delete { .. } => {
            sqlx::query_file!("sql/delete.sql", id).execute(raw).await?.rows_affected()
        }
        Decision::Retry { position } => {
            let tried = sqlx::query_file!("sql/retry.sql", id, *position as Option<i64>);
            tried.execute(raw).await?.rows_affected()
        }
        Decision::Skip { position, .. } => {
            sqlx::query_file!("sql/skip.sql", id, position).execute(raw).await?.rows_affected()
        }
        Decision::CancelReplay { replay } => {
            let ended = sqlx::query_file!("sql/cancel.sql", replay, id);
            let ended = ended.execute(&mut *raw).await?.rows_affected();
            if ended > 0 {
                sqlx::query_file!("sql/drop.sql", replay).execute(raw).await?;
            }
            ended
        }
    };
    if changed > 0 { Ok(()) } else { Err(DecisionError::NothingToDo) }
}

async fn create(
    raw: &mut PgConnection,
    new: &NewSubscription,
    by: &str,
) -> Result<(), DecisionError> {
    let created = sqlx::query_file!(
        "sql/create.sql",
        new.id,
        new.name,
        new.url,
        &new.types,
        new.personal,
        new.secret.master,
        new.secret.bytes,
        by,
        MAX_SUBSCRIPTIONS
    )
    .execute(&mut *raw)
    .await?;
    if created.rows_affected() == 0 {
        return Err(DecisionError::TooManySubscriptions);
    }
    sqlx::query_file!(
        "sql/create_feed.sql",
        new.id,
        new.id,
        new.from.epoch.map(|epoch| epoch.0) as Option<Uuid>,
        new.from.at.position.0,
        new.from.at.event_id as Option<Uuid>,
        None as Option<&[String]>,
        None as Option<i64>,
        None as Option<i32>,
        None as Option<&str>,
        by,
        MAX_REPLAYS
    )
    .execute(raw)
    .await?;
    Ok(())
}

async fn begin_replay(
    raw: &mut PgConnection,
    subscription: Uuid,
    new: &NewReplay,
    by: &str,
) -> Result<(), DecisionError> {
    let begun = sqlx::query_file!(
        "sql/create_feed.sql",
        new.id,
        subscription,
        new.from.epoch.map(|epoch| epoch.0) as Option<Uuid>,
        new.from.at.position.0,
        new.from.at.event_id as Option<Uuid>,
        new.types.as_deref() as Option<&[String]>,
        Some(new.until) as Option<i64>,
        Some(new.rate) as Option<i32>,
        Some(new.reason.as_str()) as Option<&str>,
        by,
        MAX_REPLAYS
    )
    .execute(raw)
    .await?;
    if begun.rows_affected() == 1 { Ok(()) } else { Err(DecisionError::TooManyReplays) }
}

async fn move_to(raw: &mut PgConnection, feed: Uuid, to: Checkpoint) -> sqlx::Result<()> {
    sqlx::query_file!(
        "sql/move.sql",
        feed,
        to.epoch.map(|epoch| epoch.0) as Option<Uuid>,
        to.at.position.0,
        to.at.event_id as Option<Uuid>,
    )
    .execute(raw)
    .await?;
    Ok(())
}
