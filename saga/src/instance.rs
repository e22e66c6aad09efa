//! An instance as its stream tells it, and what it decides: pure functions of the state, an input
//! and the time. No I/O, no clock, no randomness.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::event::Started;
use crate::reason::Undoing;

mod calls;
pub(crate) mod data;
mod decide;
mod due;
mod evolve;
mod next;
mod operate;

pub use calls::Due;
pub use data::{MAX_DATA, MAX_DATA_DEPTH};
pub use decide::{Answer, Input, Signal};
pub use operate::{Decision, Refused};

/// Which of the two things that a step can call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What the step does.
    Action,
    /// What undoes what the step did.
    Compensation,
}

impl Part {
    /// `action` or `compensation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Compensation => "compensation",
        }
    }
}

/// Where an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// It has not begun.
    #[default]
    Absent,
    /// It does its steps.
    Running,
    /// It undoes its steps.
    Compensating,
    /// It has ended: all steps succeeded.
    Completed,
    /// It has ended: everything that it did is undone.
    Compensated,
    /// It waits for a person.
    Parked,
}

impl Status {
    /// Whether no step can follow, except after a late success.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated)
    }

    /// The name: `running`, for example.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Parked => "parked",
        }
    }
}

/// How far an action or a compensation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leg {
    /// Nobody asked for it.
    #[default]
    Idle,
    /// It begins at this time.
    Delayed(DateTime<Utc>),
    /// It is to be called, or was called and its outcome comes later.
    Requested {
        /// The number of the attempt, from 1.
        attempt: u32,
        /// When the wait for an outcome ends.
        deadline: DateTime<Utc>,
        /// Whether it was called, and its outcome comes later.
        pending: bool,
    },
    /// An attempt failed, and the next one begins at its time.
    Resting {
        /// The number of the attempt that failed.
        attempt: u32,
        /// When the wait for an outcome ends.
        deadline: DateTime<Utc>,
        /// When the next attempt begins.
        retry_at: DateTime<Utc>,
    },
    /// It succeeded, in any of its attempts.
    Done,
    /// A person decided that it is not needed. Only a compensation can be skipped.
    Skipped,
    /// The last attempt failed, and no other one follows.
    Failed {
        /// The number of the last attempt.
        attempt: u32,
        /// Whether it surely had no effect.
        certain: bool,
    },
}

impl Leg {
    /// Whether it succeeded or is not needed.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }

    /// The number of the current or last attempt.
    pub const fn attempt(self) -> u32 {
        match self {
            Self::Requested { attempt, .. }
            | Self::Resting { attempt, .. }
            | Self::Failed { attempt, .. } => attempt,
            Self::Idle | Self::Delayed(_) | Self::Done | Self::Skipped => 0,
        }
    }
}

/// The state of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepState {
    /// How far its action is.
    pub action: Leg,
    /// How far its compensation is.
    pub compensation: Leg,
    /// When the wait for the action's outcome ends, or ended; `None` before the first request.
    pub deadline: Option<DateTime<Utc>>,
    /// What the action returned; null before it succeeded.
    pub data: Value,
    /// What the compensation returned; null before it succeeded.
    pub undone: Value,
    /// Why the last attempt of the action or of the compensation failed.
    pub failure: Option<String>,
    /// What the last attempt of the action said of its refusal, for programs.
    pub refusal: Value,
    /// How often it succeeded after its compensation had been called, and how often its
    /// compensation was refused and wanted again: 0 for most. Each time, the next call of the
    /// compensation has another idempotency key.
    pub rounds: u32,
    /// It succeeded while it was being compensated, so it must be compensated once more.
    pub again: bool,
}

impl StepState {
    /// The action or the compensation.
    pub const fn leg(&self, part: Part) -> Leg {
        match part {
            Part::Action => self.action,
            Part::Compensation => self.compensation,
        }
    }
}

/// The state of an instance: the fold of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Instance {
    /// The id, from which the seed of pauses follows.
    pub id: Uuid,
    /// Whether it runs, is being undone, is parked or has ended.
    pub status: Status,
    /// Where it stood when it was parked.
    pub parked_from: Status,
    /// Saga, definition, key, data and expiry; `None` before it began.
    pub origin: Option<Origin>,
    /// The steps that were asked for, by name.
    pub steps: BTreeMap<String, StepState>,
    /// Why it is undone; `None` while it is not.
    pub undoing: Option<Undoing>,
    /// Why it is parked, for people; `None` while it is not.
    pub parked_for: Option<String>,
    /// Whether it is parked because no process has its definition.
    pub lacks_definition: bool,
    /// The position of the last signal that it received.
    pub last_signal: i64,
}

/// How an instance began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The name of the saga.
    pub saga: String,
    /// The version of its definition.
    pub definition: i32,
    /// What it is about, in 1 to 128 bytes. A saga has one instance per key.
    pub key: String,
    /// The ids that its actions need.
    pub data: Value,
    /// When it is compensated if it has not completed.
    pub expires_at: Option<DateTime<Utc>>,
}

impl From<Started> for Origin {
    fn from(started: Started) -> Self {
        let Started { saga, definition, key, data, expires_at } = started;
        Self { saga, definition, key, data, expires_at }
    }
}

impl Instance {
    /// An instance that has not begun.
    pub fn absent(id: Uuid) -> Self {
        Self { id, ..Self::default() }
    }

    /// The state of a step. One that nobody asked for is idle.
    pub(crate) fn step(&self, name: &str) -> StepState {
        self.steps.get(name).cloned().unwrap_or_default()
    }

    /// Its status, or the one in which it resumes if it is parked.
    pub(crate) const fn ahead(&self) -> Status {
        match self.status {
            Status::Parked => self.parked_from,
            status => status,
        }
    }

    /// The seed of this instance's pauses.
    pub(crate) const fn seed(&self) -> u64 {
        self.id.as_u64_pair().1
    }
}
