//! What a saga's steps do: the port that a program implements.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_store::{AppendCondition, Epoch, Metadata, ReservationChange, StreamAppend};
use serde_json::Value;
use uuid::Uuid;

use crate::reason::{Reason, Undoing};

/// One call of an action or of a compensation.
#[derive(Debug, Clone)]
pub struct Call {
    /// The id of the instance.
    pub instance: Uuid,
    /// What the instance is about, in 1 to 128 bytes. A saga has one instance per key.
    pub key: String,
    /// The ids that the saga began with.
    pub data: Value,
    /// The name of the step that is done or undone.
    pub step: &'static str,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The same for every attempt of this call, and for no other call.
    pub idempotency_key: Uuid,
    /// What the steps so far returned, by step.
    pub results: BTreeMap<String, Value>,
    /// When the wait for the outcome of each action that was asked for ends, or ended, by step. No
    /// call of that action began later.
    pub deadlines: BTreeMap<String, DateTime<Utc>>,
    /// What the compensations so far returned, by step.
    pub undone: BTreeMap<String, Value>,
    /// Why the saga is undone; `None` for an action.
    pub undoing: Option<Undoing>,
    /// The origin for events of this call: flow, cause, actor and trace.
    pub metadata: Metadata,
}

/// The unit of work of an inside action. The engine appends it together with the step's outcome.
/// If another writer was faster, the engine calls the action again, and it decides once more.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// The events per stream, with the versions that the action has read.
    pub streams: Vec<StreamAppend>,
    /// Conditions on what the action has read.
    pub conditions: Vec<AppendCondition>,
    /// Unique values to take or release.
    pub reservations: Vec<ReservationChange>,
    /// The subjects whose personal data the events bring.
    pub subjects: Vec<Uuid>,
    /// The epoch in which the action has read. The append is refused in another one.
    pub epoch: Option<Epoch>,
}

/// How a call ended. Data and reasons are stored for ever, so they have no personal data.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It succeeded. Later steps get the data. Data beyond
    /// [`MAX_DATA`](crate::instance::MAX_DATA) or with NUL make it a failed attempt.
    Done(Value),
    /// It succeeds with these events. Only for inside actions and compensations.
    Append(Work, Value),
    /// It was refused for good, and surely had no effect. An action's saga is undone then, and a
    /// compensation's saga is parked.
    Rejected(Reason),
    /// It failed, and may have had an effect. It is repeated under the same key.
    Unavailable {
        /// Why it failed, for people. It is cut off after 500 characters.
        reason: String,
        /// How long the other side asks to wait, if it does.
        retry_after: Option<Duration>,
    },
    /// It cannot go on until a person has changed something, such as a setting, and it may have had
    /// an effect. The saga is parked for this reason, which is for people and is cut off after 500
    /// characters. It is repeated under the same key once the saga resumes.
    Stuck(String),
    /// It was accepted, and the outcome comes as a signal. Only for outside actions and
    /// compensations.
    Pending,
}

impl Outcome {
    /// A refusal for good.
    pub fn rejected(reason: impl Into<Reason>) -> Self {
        Self::Rejected(reason.into())
    }

    /// A failure that may pass.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }
}

/// The actions of one saga.
///
/// A call may come again after any failure, with the same idempotency key. The engine drops a call
/// that takes longer than the step's limit.
#[async_trait]
pub trait Actions: Send + Sync + 'static {
    /// Does what a step is for, and says how that ended.
    async fn run(&self, call: &Call) -> Outcome;

    /// Undoes a step that succeeded, or that may have had an effect. It succeeds if there is
    /// nothing to undo.
    async fn compensate(&self, call: &Call) -> Outcome;
}
