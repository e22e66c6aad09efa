//! An instance as it was loaded, with the events that are not appended yet.

use event_store::{Metadata, UpcastingLog, Version};
use uuid::Uuid;

use super::{DriveError, Rest};
use crate::event::{SagaEvent, read};
use crate::id;
use crate::instance::{Instance, Leg, Status};

/// The number of events that are read at once. Most instances have fewer.
const PAGE: u32 = 500;

/// An instance in memory.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// The state, including the events that are not appended yet.
    pub(crate) state: Instance,
    /// The version of the stream in the log.
    pub(crate) version: i64,
    /// The origin of its first event.
    pub(crate) origin: Option<Metadata>,
    /// The events that are not appended yet.
    pub(crate) pending: Vec<SagaEvent>,
}

/// Loads an instance from its stream.
pub(crate) async fn load(log: &UpcastingLog, instance: Uuid) -> Result<Loaded, DriveError> {
    let stream = id::stream(instance);
    let mut state = Instance::absent(instance);
    let (mut version, mut origin) = (Version::NONE, None);
    loop {
        let page = log.read_stream(&stream, version, PAGE).await?;
        for event in &page.events {
            if origin.is_none() {
                origin = Some(event.metadata.clone());
            }
            if let Some(event) = read(event)? {
                state = state.evolve(&event);
            }
        }
        if let Some((last, _)) = page.last {
            version = last;
        }
        if page.is_last {
            return Ok(Loaded { state, version: version.0, origin, pending: Vec::new() });
        }
    }
}

impl Loaded {
    /// The origin of the next events.
    pub(crate) fn metadata(&self) -> Metadata {
        self.origin.clone().unwrap_or_else(|| Metadata::new(self.state.id))
    }

    pub(super) fn rest(&self, moved: bool) -> Rest {
        let Instance { status, origin, undoing, parked_for, .. } = &self.state;
        let why = undoing.as_ref().map(|undoing| undoing.text.clone());
        Rest {
            version: self.version,
            status: *status,
            due_at: self.state.due_at(),
            definition: origin.as_ref().map_or(0, |origin| origin.definition),
            key: origin.as_ref().map(|origin| origin.key.clone()).unwrap_or_default(),
            waits_for: self.waits_for(),
            reason: parked_for.clone().or(why),
            lacks_definition: self.state.lacks_definition,
            last_signal: self.state.last_signal,
            moved,
        }
    }

    /// The steps that are not settled: `charge #2`, `undo reserve #1`.
    fn waits_for(&self) -> String {
        let is_undone = self.state.status != Status::Running;
        let legs = self.state.steps.iter().filter_map(|(name, step)| {
            let (verb, leg) =
                if is_undone { ("undo ", step.compensation) } else { ("", step.action) };
            match leg {
                Leg::Idle | Leg::Done | Leg::Skipped => None,
                leg => Some(format!("{verb}{name} #{}", leg.attempt())),
            }
        });
        legs.collect::<Vec<_>>().join(", ")
    }
}
