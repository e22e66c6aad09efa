//! Sagas, in the form that operators see. The command line reads the same types.

use chrono::{DateTime, Utc};
use saga::instance::{Instance, Leg, StepState};
use saga::ops;
use saga::work::Listed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A saga in a list.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    pub(crate) saga: String,
    /// What it is about: the id of its order.
    pub(crate) key: String,
    pub(crate) status: String,
    pub(crate) definition: i32,
    pub(crate) waits_for: String,
    pub(crate) reason: Option<String>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) moved_at: DateTime<Utc>,
    pub(crate) failures: i32,
    pub(crate) driven: bool,
}

/// A saga with its timeline.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: Uuid,
    pub(crate) saga: String,
    pub(crate) key: String,
    pub(crate) status: String,
    pub(crate) definition: i32,
    pub(crate) reason: Option<String>,
    pub(crate) parked_for: Option<String>,
    pub(crate) due_at: Option<DateTime<Utc>>,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) timeline: Vec<Entry>,
    /// The version after which the next page of the timeline begins.
    pub(crate) next_after: Option<i64>,
}

/// A step that was asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StepRow {
    pub(crate) step: String,
    pub(crate) action: String,
    pub(crate) compensation: String,
}

/// Something that happened to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: i64,
    pub(crate) at: DateTime<Utc>,
    pub(crate) what: String,
    /// Who decided it, as an opaque id, if a person did.
    pub(crate) by: Option<String>,
}

impl From<Listed> for Row {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.id,
            saga: listed.saga,
            key: listed.key,
            status: listed.status,
            definition: listed.definition,
            waits_for: listed.waits_for,
            reason: listed.reason,
            due_at: listed.due_at,
            moved_at: listed.moved_at,
            failures: listed.failures,
            driven: listed.driven,
        }
    }
}

impl From<ops::Shown> for Shown {
    fn from(shown: ops::Shown) -> Self {
        let ops::Shown { instance, timeline, next_after } = shown;
        let due_at = instance.due_at();
        let Instance { id, status, origin, steps, undoing, parked_for, .. } = instance;
        let (saga, key, definition) =
            origin.map(|it| (it.saga, it.key, it.definition)).unwrap_or_default();
        let steps = steps.into_iter().map(|(step, state)| step_row(step, &state)).collect();
        let entry = |entry: ops::Entry| Entry {
            version: entry.version.0,
            at: entry.at,
            what: entry.event.to_string(),
            by: entry.event.by().map(str::to_owned),
        };
        Self {
            id,
            saga,
            key,
            status: status.as_str().to_owned(),
            definition,
            reason: undoing.map(|undoing| undoing.text),
            parked_for,
            due_at,
            steps,
            timeline: timeline.into_iter().map(entry).collect(),
            next_after: next_after.map(|version| version.0),
        }
    }
}

fn step_row(step: String, state: &StepState) -> StepRow {
    StepRow { step, action: leg(state.action), compensation: leg(state.compensation) }
}

/// Where an action or a compensation stands, in a few words.
fn leg(leg: Leg) -> String {
    match leg {
        Leg::Idle => String::new(),
        Leg::Delayed(until) => format!("begins at {until}"),
        Leg::Requested { attempt, pending: false, .. } => format!("requested #{attempt}"),
        Leg::Requested { attempt, pending: true, .. } => format!("pending #{attempt}"),
        Leg::Resting { attempt, retry_at, .. } => format!("failed #{attempt}, again at {retry_at}"),
        Leg::Done => "done".to_owned(),
        Leg::Skipped => "skipped".to_owned(),
        Leg::Failed { attempt, .. } => format!("failed #{attempt}"),
    }
}
