//! What operators ask for: checks it, finds places in the log, and has the tables carry it out.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_feed::consumer::Checkpoint;
use event_store::{
    EventRef, EventStore, EventType, Filter, KeyError, Position, RecordedEvent, StoreError,
};
use secrecy::SecretString;
use tokio::sync::watch;
use uuid::Uuid;

use crate::limits::{MAX_RATE, MAX_TYPES};
use crate::reach::{InvalidReceiverUrl, OutOfReach, ReceiverUrl};
use crate::secret::Secret;
use crate::sending::Sending;
use crate::tables::{Decision, DecisionError, NewReplay, NewSubscription};

/// The maximum length of a subscription's name, in characters.
pub const MAX_NAME: usize = 100;

/// The operations on subscriptions. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Operations {
    sending: Sending,
    changes: Arc<watch::Sender<u64>>,
}

/// A subscription, as an operator asks for it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name, for people.
    pub name: String,
    /// The URL of the receiver.
    pub url: String,
    /// Its event types, besides `subject.erased`.
    pub types: Vec<String>,
    /// Whether it gets personal fields in the clear.
    pub personal: bool,
    /// The position after which it begins; the head of the log without it.
    pub after: Option<i64>,
}

/// A replay, as an operator asks for it.
#[derive(Debug, Clone)]
pub struct WantedReplay {
    /// Where it begins.
    pub from: Start,
    /// Its event types; those of the subscription if there are none.
    pub types: Option<Vec<String>>,
    /// The maximum number of events per second.
    pub rate: i32,
    /// Why.
    pub reason: String,
}

/// Where a replay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the event at this position.
    Position(i64),
    /// With the first event that was recorded at or after this time.
    Time(DateTime<Utc>),
}

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// A field is wrong: its pointer, and why.
    #[error("{0}: {1}")]
    Invalid(&'static str, String),
    /// There is no such subscription or replay.
    #[error("there is no such subscription")]
    Absent,
    /// The decision had no effect.
    #[error(transparent)]
    Decision(DecisionError),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] StoreError),
    /// The secret cannot be wrapped.
    #[error("the secret cannot be wrapped")]
    Secret(#[from] KeyError),
    /// The tables cannot be read.
    #[error("the tables of webhooks cannot be used")]
    Tables(#[from] sqlx::Error),
}

impl From<DecisionError> for OperationError {
    fn from(error: DecisionError) -> Self {
        match error {
            DecisionError::Tables(error) => Self::Tables(error),
            error => Self::Decision(error),
        }
    }
}

impl From<InvalidReceiverUrl> for OperationError {
    fn from(error: InvalidReceiverUrl) -> Self {
        Self::Invalid("/url", error.to_string())
    }
}

impl From<OutOfReach> for OperationError {
    fn from(error: OutOfReach) -> Self {
        Self::Invalid("/url", error.to_string())
    }
}

/// Who decides: a name, and the session or API key that proves it.
pub type By<'a> = (&'a str, Option<Uuid>);

impl Operations {
    /// Operations on these tables. `changes` tells the dispatcher of decisions.
    pub fn new(sending: Sending, changes: watch::Sender<u64>) -> Self {
        Self { sending, changes: Arc::new(changes) }
    }

    /// The tables, to read them.
    pub const fn tables(&self) -> &crate::tables::Tables {
        &self.sending.tables
    }

    /// Creates a subscription. Returns its id, and its secret for its owner.
    ///
    /// # Errors
    /// [`OperationError`]. Nothing was created.
    pub async fn create(
        &self,
        wanted: Wanted,
        by: By<'_>,
    ) -> Result<(Uuid, SecretString), OperationError> {
        let Wanted { name, url, types, personal, after } = wanted;
        let receiver: ReceiverUrl = url.parse()?;
        // A plain URL with a name is checked when it is sent to.
        receiver.check(&self.sending.reach)?;
        check_types(&types)?;
        if personal && self.sending.vault.is_none() {
            let why = "this process has no keys of personal data: set SUBJECT_KEYS_URL".to_owned();
            return Err(OperationError::Invalid("/personal", why));
        }
        let from = if let Some(position) = after {
            self.place(position, "/after").await?
        } else {
            let head = self.sending.log.head().await?;
            Checkpoint { epoch: Some(head.epoch), at: head.mark }
        };
        let (id, secret) = (Uuid::now_v7(), Secret::random());
        let wrapped = self.sending.wrapping.wrap(id, &secret).await?;
        let url = receiver.as_str().to_owned();
        let new = NewSubscription { id, name, url, types, personal, secret: wrapped, from };
        self.decide(id, Decision::Create(new), by).await?;
        Ok((id, secret.text()))
    }

    /// Replaces the secret of a subscription. Returns the new one for its owner.
    ///
    /// # Errors
    /// [`OperationError`]. The old secret is still the one.
    pub async fn rotate(&self, id: Uuid, by: By<'_>) -> Result<SecretString, OperationError> {
        let secret = Secret::random();
        let wrapped = self.sending.wrapping.wrap(id, &secret).await?;
        let keep_old = self.sending.limits.old_secret_for;
        self.decide(id, Decision::Rotate { secret: wrapped, keep_old }, by).await?;
        Ok(secret.text())
    }

    /// Lets a subscription go on; after a position, if one is given.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn resume(
        &self,
        id: Uuid,
        after: Option<i64>,
        by: By<'_>,
    ) -> Result<(), OperationError> {
        let from = match after {
            Some(position) => Some(self.place(position, "/after").await?),
            None => None,
        };
        self.decide(id, Decision::Resume { from }, by).await
    }

    /// Begins a replay up to the current head of the log. Returns its id.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn replay(
        &self,
        subscription: Uuid,
        wanted: WantedReplay,
        by: By<'_>,
    ) -> Result<Uuid, OperationError> {
        let WantedReplay { from, types, rate, reason } = wanted;
        if !(1..=MAX_RATE).contains(&rate) {
            let why = format!("expected 1 to {MAX_RATE} events per second");
            return Err(OperationError::Invalid("/rate", why));
        }
        if let Some(types) = &types {
            check_types(types)?;
        }
        if self.sending.tables.subscription(subscription).await?.is_none() {
            return Err(OperationError::Absent);
        }
        let head = self.sending.log.head().await?;
        let first = match from {
            Start::Position(position) => position,
            Start::Time(time) => self.first_since(time, head.mark.position.0).await?,
        };
        let from = self.place(first.saturating_sub(1), "/from").await?;
        let (id, until) = (Uuid::now_v7(), head.mark.position.0);
        let new = NewReplay { id, from, until, types, rate, reason };
        self.decide(subscription, Decision::Replay(new), by).await?;
        Ok(id)
    }

    /// Ends a replay before it is done.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn cancel_replay(&self, replay: Uuid, by: By<'_>) -> Result<(), OperationError> {
        let of = self.sending.tables.subscription_of(replay).await?;
        let subscription = of.ok_or(OperationError::Absent)?;
        self.decide(subscription, Decision::CancelReplay { replay }, by).await
    }

    /// Carries out a decision about a subscription.
    ///
    /// # Errors
    /// [`OperationError`].
    pub async fn decide(
        &self,
        subscription: Uuid,
        decision: Decision,
        by: By<'_>,
    ) -> Result<(), OperationError> {
        let is_new = matches!(decision, Decision::Create(_));
        if !is_new && self.sending.tables.subscription(subscription).await?.is_none() {
            return Err(OperationError::Absent);
        }
        self.sending.tables.decide(subscription, &decision, by).await?;
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// The place after the event at this position; the start of the log for 0.
    async fn place(
        &self,
        position: i64,
        pointer: &'static str,
    ) -> Result<Checkpoint, OperationError> {
        let log = &self.sending.log;
        let head = log.head().await?;
        if position == 0 {
            return Ok(Checkpoint::START);
        }
        let at: Option<EventRef> =
            if position > 0 { log.event_ref_at(Position(position)).await? } else { None };
        let last = head.mark.position;
        let why = || format!("the log has positions 1 to {last}");
        let at = at.ok_or_else(|| OperationError::Invalid(pointer, why()))?;
        Ok(Checkpoint { epoch: Some(head.epoch), at })
    }

    /// The position of the first event at or after a time, among those up to `head`; the one after
    /// `head` if all are earlier. Times never go back in the log, so it halves the range.
    async fn first_since(&self, time: DateTime<Utc>, head: i64) -> Result<i64, StoreError> {
        let (mut low, mut high) = (1, head.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let found = read_at(&*self.sending.log, middle).await?;
            if found.is_some_and(|event| event.recorded_at < time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

async fn read_at(log: &dyn EventStore, position: i64) -> Result<Option<RecordedEvent>, StoreError> {
    Ok(log.read(&Filter::All, Position(position - 1), 1).await?.into_iter().next())
}

/// Checks the event types of a subscription or replay. There is no way to ask for all: a receiver
/// gets what it knows, and no type that comes later.
fn check_types(types: &[String]) -> Result<(), OperationError> {
    if types.is_empty() || types.len() > MAX_TYPES {
        let why = format!("expected 1 to {MAX_TYPES} event types");
        return Err(OperationError::Invalid("/types", why));
    }
    match types.iter().find(|name| name.parse::<EventType>().is_err()) {
        Some(_) => {
            let why = "expected names of event types such as letter.sent".to_owned();
            Err(OperationError::Invalid("/types", why))
        }
        None => Ok(()),
    }
}
