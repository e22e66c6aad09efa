//! Carries out operations while the process runs: each kind in a loop of its own, so that a new
//! epoch does not wait for an erasure that the lost history blocks.
//!
//! An erasure is not given up once its key may be destroyed: every step can be repeated, and the
//! executor retries until the proof is recorded. Only an error that no retry can mend ends it. An
//! erasure that waits to be retried does not hold up the others.

use std::sync::Arc;
use std::time::Duration;

use event_store::encryption::SubjectKeyStore as _;
use event_store::erasure::{EraseError, EraseRequest};
use event_store::postgres::operations::{Kind, Operation, Turn};
use event_store::postgres::{PostgresKeys, PostgresStore};
use event_store::{KeyError, PostgresOptions, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use service_kit::Pulse;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::application::{OpenOrders, SettleError, Settlement};
use crate::auth::departure::CredentialStore;
use crate::erasure::{EraseEverywhereError, erase_everywhere, is_known, nothing_known};

/// How often to look for operations without a wake-up, and to retry one that waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum time of one attempt. A proof reads the whole log.
const ATTEMPT_LIMIT: Duration = Duration::from_hours(1);
/// How often a running attempt shows that the executor is alive.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long the executor may be silent before it counts as hung.
pub(crate) const SILENCE_LIMIT: Duration = Duration::from_mins(2);
/// The read connections of one erasure.
const READ_CONNECTIONS: u32 = 2;

/// How an erasure connects to the log.
pub(super) fn reading(options: PostgresOptions) -> PostgresOptions {
    options.read_connections(READ_CONNECTIONS)
}

/// Carries out operations.
pub(crate) struct Executor {
    /// How to connect to the log.
    pub(crate) options: PostgresOptions,
    /// How to connect to the keys of personal data.
    pub(crate) keys: SecretString,
    /// The credentials of persons, if this process has them.
    pub(crate) credentials: Option<CredentialStore>,
    /// Tells that an operation is queued.
    pub(crate) wake: Arc<Notify>,
    /// Settles the orders of a person who is to be erased.
    pub(crate) settlement: Settlement,
}

/// Why an attempt did not end its operation. It is retried.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error("the record of operations failed")]
    Record(#[from] sqlx::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Erase(#[from] EraseEverywhereError),
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error("the proof could not be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("an attempt took longer than {ATTEMPT_LIMIT:?}")]
    TooLong,
}

impl AttemptError {
    /// Whether no further attempt can succeed.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Erase(EraseEverywhereError::Log(error)) => {
                matches!(error, EraseError::By | EraseError::Name(_) | EraseError::Json(_))
            }
            Self::Erase(EraseEverywhereError::Credentials(_))
            | Self::Record(_)
            | Self::Store(_)
            | Self::Keys(_)
            | Self::Settle(_)
            | Self::TooLong => false,
        }
    }
}

/// How an operation ended: its state, its result, and why it failed.
type End = (&'static str, Option<Value>, Option<String>);

#[derive(Deserialize)]
struct EraseArguments {
    subject: Uuid,
    #[serde(default)]
    cancel_open_orders: bool,
}

impl EraseArguments {
    const fn open_orders(&self) -> OpenOrders {
        if self.cancel_open_orders { OpenOrders::Cancel } else { OpenOrders::Refuse }
    }
}

impl Executor {
    /// Works on the operations of one kind until `drain`.
    pub(crate) async fn run(&self, kind: Kind, pulse: Pulse, drain: CancellationToken) {
        let mut turn = None;
        while !drain.is_cancelled() {
            pulse.beat();
            tokio::select! {
                () = drain.cancelled() => break,
                () = self.look(kind, &mut turn, &pulse) => {}
            }
            tokio::select! {
                () = drain.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        pulse.rest();
    }

    /// Works on the operations that wait. It keeps the turn for the next look.
    async fn look(&self, kind: Kind, turn: &mut Option<Turn>, pulse: &Pulse) {
        let mut beats = tokio::time::interval(BEAT_EVERY);
        let mut work = std::pin::pin!(self.work(kind, turn));
        let worked = loop {
            tokio::select! {
                worked = &mut work => break worked,
                _ = beats.tick() => pulse.beat(),
            }
        };
        if let Err(error) = worked {
            let cause: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error = cause, kind = kind.as_str(), "could not work on operations");
        }
    }

    async fn work(&self, kind: Kind, kept: &mut Option<Turn>) -> Result<(), AttemptError> {
        // Without it, a failed call leaves no turn behind whose connection is gone.
        let Some(mut turn) = (match kept.take() {
            Some(turn) => Some(turn),
            None => Turn::take(&self.options, kind).await?,
        }) else {
            return Ok(());
        };
        while let Some(operation) = turn.next(kind).await? {
            let attempt = self.attempt(kind, &operation, &mut turn);
            let limited = tokio::time::timeout(ATTEMPT_LIMIT, attempt).await;
            if let Err(error) = limited.unwrap_or(Err(AttemptError::TooLong)) {
                let (id, why) = (operation.id, cli_kit::describe(&error));
                tracing::warn!(error = why, operation = %id, "an attempt at an operation failed");
                if error.is_lasting() {
                    turn.finish(operation.id, "failed", (None, Some(why))).await?;
                } else {
                    turn.retry_later(operation.id, &why).await?;
                }
                continue;
            }
            tracing::info!(operation = %operation.id, kind = kind.as_str(), "an operation ended");
        }
        *kept = Some(turn);
        Ok(())
    }

    async fn attempt(
        &self,
        kind: Kind,
        operation: &Operation,
        turn: &mut Turn,
    ) -> Result<(), AttemptError> {
        let cancelled = ("cancelled", None, None);
        let (state, result, error) = match kind {
            // It needs nothing that may be away.
            _ if operation.cancel_wanted && !operation.irrevocable => cancelled,
            Kind::EraseSubject => self.erase(operation, turn).await?.unwrap_or(cancelled),
            Kind::BeginEpoch => match turn.begin_epoch(operation.id).await? {
                Some(_) => return Ok(()),
                None => cancelled,
            },
        };
        Ok(turn.finish(operation.id, state, (result, error)).await?)
    }

    /// Erases and proves. `None` if the operation was cancelled first.
    async fn erase(
        &self,
        operation: &Operation,
        turn: &mut Turn,
    ) -> Result<Option<End>, AttemptError> {
        let arguments = EraseArguments::deserialize(&operation.arguments)?;
        let (subject, open) = (arguments.subject, arguments.open_orders());
        let keys = PostgresKeys::connect(self.keys.expose_secret(), "command-api erase").await?;
        // A log that has lost events is not searched or appended to before its new epoch.
        let options = self.options.clone().known_head(keys.known_head().await?);
        let store = PostgresStore::connect(reading(options)).await?;
        let credentials = self.credentials.as_ref();
        if !operation.irrevocable && !is_known(&store, &keys, credentials, subject).await? {
            return Ok(Some(("failed", None, Some(nothing_known(subject)))));
        }
        if !turn.commit_to(operation.id, "erasing and proving").await? {
            return Ok(None);
        }
        match self.settlement.settle(subject, open).await {
            Err(error) if error.is_refusal() => {
                let why = format!("{error}; nothing was erased");
                return Ok(Some(("failed", None, Some(why))));
            }
            settled => settled?,
        }
        let request = EraseRequest { subject, by: operation.requested_by.clone() };
        let proof = erase_everywhere(&store, &keys, credentials, &request).await?;
        let result = Some(serde_json::to_value(&proof)?);
        Ok(Some(if proof.holds() {
            ("succeeded", result, None)
        } else {
            ("failed", result, Some("the erasure is not complete: see the proof".to_owned()))
        }))
    }
}
