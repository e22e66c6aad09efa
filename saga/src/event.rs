//! The events of an instance. They have no personal data: ids and reasons only.

use std::fmt;

use aggregate::{
    DomainEvent as _, Shape, UnreadableEvent, events_of_all_aggregates, stored_events,
};
use chrono::{DateTime, Utc};
use event_store::RecordedEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod time;

/// The instance began. This is the first event of its stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    /// The name of the saga.
    pub saga: String,
    /// The version of its definition, which the instance keeps.
    pub definition: i32,
    /// What it is about: one instance per saga and key.
    pub key: String,
    /// The ids that its actions need.
    pub data: Value,
    /// When it is compensated if it has not completed.
    #[serde(default, deserialize_with = "time::optional")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// A step waits until its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delayed {
    /// The name of the step that waits.
    pub step: String,
    /// When the step begins.
    #[serde(deserialize_with = "time::whole")]
    pub until: DateTime<Utc>,
}

/// An action or a compensation is to be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requested {
    /// The name of the step whose action or compensation is called.
    pub step: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// When the wait for an outcome ends.
    #[serde(deserialize_with = "time::whole")]
    pub deadline: DateTime<Utc>,
    /// Who asked for this attempt, as an opaque id, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// An action or a compensation was accepted elsewhere, and its outcome comes later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pending {
    /// The name of the step whose outcome comes later.
    pub step: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// An action or a compensation succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Succeeded {
    /// The name of the step that is done, or undone.
    pub step: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// What later steps need of it, such as an id.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// An attempt of an action or a compensation failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// The name of the step whose attempt failed.
    pub step: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// Why it failed, for people: at most 500 characters, no personal data.
    pub reason: String,
    /// When the next attempt begins; without it there is none.
    #[serde(default, deserialize_with = "time::optional")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<DateTime<Utc>>,
    /// Whether it surely had no effect.
    pub certain: bool,
    /// The same reason for programs, if it was refused for good.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// A person decided that a compensation is not needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The name of the step that stays as it is.
    pub step: String,
    /// Why it is not needed, in the words of the person: at most 500 characters.
    pub reason: String,
    /// Who decided it, as an opaque id.
    pub by: String,
}

/// A time that the instance waited for has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimerFired {
    /// `delay`, `deadline` or `expiry`.
    pub timer: String,
    /// The name of the step whose delay or deadline it is; absent for the expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// An event of the log was for this instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SignalReceived {
    /// The position of that event. Signals are received in their order, each once.
    pub position: i64,
    /// What it says: `answer` or `cancel`.
    pub signal: String,
    /// The name of the step that it answers; absent for `cancel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
}

/// The instance undoes what it did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compensating {
    /// Why it is undone, for people: a failed step, the expiry, a signal or a person.
    pub reason: String,
    /// The same reason for programs, as the step or the signal gave it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
    /// The name of the step whose failure is the reason, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Who decided it, as an opaque id, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// All steps succeeded. Nothing follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completed {}

/// Everything is undone. Only a late success of a step could follow, which is then undone, too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compensated {
    /// Why it was undone, as in the event that began the undoing.
    pub reason: String,
}

/// The instance stands still until a person acts, or a process has its definition again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Parked {
    /// Why it is parked, for the person who looks at it.
    pub reason: String,
    /// Whether it is parked because no process has its definition. Then it resumes by itself once
    /// a process has it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_definition: bool,
    /// Who decided it, as an opaque id, if a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The instance goes on where it was parked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resumed {
    /// Who decided it, as an opaque id; `definition` if a process has the definition again.
    pub by: String,
}

/// What happened to an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each payload is documented")]
pub enum SagaEvent {
    Started(Started),
    StepDelayed(Delayed),
    StepRequested(Requested),
    StepPending(Pending),
    StepSucceeded(Succeeded),
    StepFailed(Failed),
    CompensationRequested(Requested),
    CompensationPending(Pending),
    CompensationSucceeded(Succeeded),
    CompensationFailed(Failed),
    CompensationSkipped(Skipped),
    TimerFired(TimerFired),
    SignalReceived(SignalReceived),
    Compensating(Compensating),
    Completed(Completed),
    Compensated(Compensated),
    Parked(Parked),
    Resumed(Resumed),
}

stored_events!(SagaEvent {
    Started(Started) => "saga.started", 1;
    StepDelayed(Delayed) => "saga.step_delayed", 1;
    StepRequested(Requested) => "saga.step_requested", 1;
    StepPending(Pending) => "saga.step_pending", 1;
    StepSucceeded(Succeeded) => "saga.step_succeeded", 1;
    StepFailed(Failed) => "saga.step_failed", 1;
    CompensationRequested(Requested) => "saga.compensation_requested", 1;
    CompensationPending(Pending) => "saga.compensation_pending", 1;
    CompensationSucceeded(Succeeded) => "saga.compensation_succeeded", 1;
    CompensationFailed(Failed) => "saga.compensation_failed", 1;
    CompensationSkipped(Skipped) => "saga.compensation_skipped", 1;
    TimerFired(TimerFired) => "saga.timer_fired", 1;
    SignalReceived(SignalReceived) => "saga.signal_received", 1;
    Compensating(Compensating) => "saga.compensating", 1;
    Completed(Completed) => "saga.completed", 1;
    Compensated(Compensated) => "saga.compensated", 1;
    Parked(Parked) => "saga.parked", 1;
    Resumed(Resumed) => "saga.resumed", 1;
});

/// A program that runs a saga for the first time says where the saga begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployed {
    /// The name of the saga.
    pub saga: String,
    /// Only events after this position start an instance.
    pub begins_after: i64,
}

/// What happened to a saga as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each payload is documented")]
pub enum DeploymentEvent {
    Deployed(Deployed),
}

stored_events!(DeploymentEvent {
    Deployed(Deployed) => "saga_deployment.deployed", 1;
});

events_of_all_aggregates! {
    SagaEvent,
    DeploymentEvent,
}

/// The shapes that this library writes, for the registry of a program that runs sagas.
pub fn shapes() -> impl Iterator<Item = Shape> {
    EVENTS.iter().copied().flatten().copied()
}

/// Reads an event of an instance; `None` if it is of another type.
///
/// # Errors
/// The program does not know the version, or the payload has another shape.
pub fn read(event: &RecordedEvent) -> Result<Option<SagaEvent>, UnreadableEvent> {
    let (name, version) = (event.event_type.as_str(), event.schema_version);
    SagaEvent::from_parts(name, version, event.data.get()).transpose()
}

impl SagaEvent {
    #[expect(clippy::unused_self, reason = "an instance is read by its stream, never by tags")]
    const fn labels(&self) -> Vec<(&'static str, uuid::Uuid)> {
        Vec::new()
    }

    /// Whether no step can follow, except after a late success.
    pub const fn is_end(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Compensated(_))
    }
}

impl DeploymentEvent {
    #[expect(clippy::unused_self, reason = "it is read by its stream, never by tags")]
    const fn labels(&self) -> Vec<(&'static str, uuid::Uuid)> {
        Vec::new()
    }
}

/// The event in a few words, for timelines: `step_failed charge #2: no answer`.
impl fmt::Display for SagaEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.event_type();
        f.write_str(name.split_once('.').map_or(name, |(_, what)| what))?;
        match self {
            Self::Started(it) => write!(f, " {} v{} {}", it.saga, it.definition, it.key),
            Self::StepDelayed(it) => write!(f, " {}", it.step),
            Self::StepRequested(it) | Self::CompensationRequested(it) => {
                write!(f, " {} #{}{}", it.step, it.attempt, By(it.by.as_deref()))
            }
            Self::StepPending(it) | Self::CompensationPending(it) => {
                write!(f, " {} #{}", it.step, it.attempt)
            }
            Self::StepSucceeded(it) | Self::CompensationSucceeded(it) => {
                write!(f, " {} #{}", it.step, it.attempt)
            }
            Self::StepFailed(it) | Self::CompensationFailed(it) => {
                let again = if it.retry_at.is_some() { ", again" } else { "" };
                let doubt = if it.certain { "" } else { ", unknown effect" };
                write!(f, " {} #{}: {}{again}{doubt}", it.step, it.attempt, it.reason)
            }
            Self::CompensationSkipped(it) => {
                write!(f, " {}{}: {}", it.step, By(Some(&it.by)), it.reason)
            }
            Self::TimerFired(TimerFired { timer: what, step })
            | Self::SignalReceived(SignalReceived { signal: what, step, .. }) => {
                write!(f, " {what}")?;
                step.as_ref().map_or(Ok(()), |step| write!(f, " {step}"))
            }
            Self::Compensating(Compensating { reason, by, .. })
            | Self::Parked(Parked { reason, by, .. }) => {
                write!(f, "{}: {reason}", By(by.as_deref()))
            }
            Self::Compensated(Compensated { reason }) => write!(f, ": {reason}"),
            Self::Completed(_) => Ok(()),
            Self::Resumed(it) => write!(f, " by {}", it.by),
        }
    }
}

impl SagaEvent {
    /// Who decided it, as an opaque id, if a person did; `definition` for an instance that resumed
    /// by itself.
    pub fn by(&self) -> Option<&str> {
        match self {
            Self::StepRequested(it) | Self::CompensationRequested(it) => it.by.as_deref(),
            Self::Compensating(it) => it.by.as_deref(),
            Self::Parked(it) => it.by.as_deref(),
            Self::CompensationSkipped(it) => Some(&it.by),
            Self::Resumed(it) => Some(&it.by),
            Self::Started(_)
            | Self::StepDelayed(_)
            | Self::StepPending(_)
            | Self::StepSucceeded(_)
            | Self::StepFailed(_)
            | Self::CompensationPending(_)
            | Self::CompensationSucceeded(_)
            | Self::CompensationFailed(_)
            | Self::TimerFired(_)
            | Self::SignalReceived(_)
            | Self::Completed(_)
            | Self::Compensated(_) => None,
        }
    }
}

/// The person who decided it, if a person did.
struct By<'e>(Option<&'e str>);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |by| write!(f, " by {by}"))
    }
}

#[cfg(test)]
mod tests {
    use aggregate::golden::Goldens;

    const GOLDEN: Goldens = Goldens::new(env!("CARGO_MANIFEST_DIR"), &[]);

    #[test]
    fn every_event_ever_written_can_still_be_read() {
        super::check_golden_files(&GOLDEN);
        GOLDEN.check_all(super::EVENTS);
    }
}
