//! The sagas that a program runs: their definitions, what starts them, and what they wait for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use event_store::stream::is_category;
use event_store::{EventType, Metadata, Position, RecordedEvent};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::action::Actions;
use crate::definition::{Definition, InvalidDefinition};
use crate::instance::{Signal, data};

/// The maximum length of a key, in bytes.
pub const MAX_KEY: usize = 128;

/// What an event starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What the instance is about. A saga has one instance per key, ever.
    pub key: String,
    /// The ids that the actions need, within [`MAX_DATA`](crate::instance::MAX_DATA). No personal
    /// data: it is stored for ever.
    pub data: Value,
}

/// An event started an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The name of the saga.
    pub saga: String,
    /// The key and the data.
    pub start: Start,
    /// The origin of the instance's events: the flow and the trace of the event that started it,
    /// and that event as their cause.
    pub origin: Metadata,
}

/// Which event starts an instance; `None` for an event that starts none, such as one that was
/// imported.
pub type Starts = fn(&RecordedEvent) -> Option<Start>;
/// The key of the instance that an event is for, and what it says.
pub type Signals = fn(&RecordedEvent) -> Option<(String, Signal)>;

/// Where a saga begins, if the log does not say it yet. It is stored when the saga first runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Begin {
    /// After the log's last event at that time.
    #[default]
    AtDeployment,
    /// After this position of the log; 0 is before the first event.
    After(Position),
}

/// A saga: its definitions, its actions, and the events that concern its instances.
#[derive(Clone)]
pub struct Saga {
    pub(crate) name: &'static str,
    pub(crate) definitions: BTreeMap<i32, Arc<Definition>>,
    pub(crate) starts: (Vec<EventType>, Starts),
    pub(crate) signals: (Vec<EventType>, Signals),
    pub(crate) actions: Arc<dyn Actions>,
    pub(crate) begin: Begin,
    pub(crate) actor: String,
}

impl fmt::Debug for Saga {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.definitions.keys();
        f.debug_struct("Saga")
            .field("name", &self.name)
            .field("versions", &versions)
            .finish_non_exhaustive()
    }
}

impl Saga {
    /// A saga of this name. New instances begin with the highest version of `definitions`. Keep the
    /// versions whose instances may still run.
    ///
    /// # Errors
    /// [`InvalidDefinition`].
    pub fn new(
        name: &'static str,
        definitions: impl IntoIterator<Item = Definition>,
        actions: Arc<dyn Actions>,
    ) -> Result<Self, InvalidDefinition> {
        if !is_category(name) {
            return Err(InvalidDefinition::Name(name.to_owned()));
        }
        let mut by_version = BTreeMap::new();
        for definition in definitions {
            definition.check()?;
            if by_version.insert(definition.version, Arc::new(definition)).is_some() {
                return Err(InvalidDefinition::Versions(name));
            }
        }
        if by_version.is_empty() {
            return Err(InvalidDefinition::Versions(name));
        }
        Ok(Self {
            name,
            definitions: by_version,
            starts: (Vec::new(), |_| None),
            signals: (Vec::new(), |_| None),
            actions,
            begin: Begin::default(),
            actor: format!("saga:{name}"),
        })
    }

    /// Events of these types start instances.
    #[must_use]
    pub fn started_by(mut self, types: Vec<EventType>, starts: Starts) -> Self {
        self.starts = (types, starts);
        self
    }

    /// Events of these types are for instances.
    #[must_use]
    pub fn signalled_by(mut self, types: Vec<EventType>, signals: Signals) -> Self {
        self.signals = (types, signals);
        self
    }

    /// Sets where the saga begins when it runs for the first time.
    #[must_use]
    pub const fn begins(mut self, begin: Begin) -> Self {
        self.begin = begin;
        self
    }

    /// Sets the actor of the events of new instances. The default is `saga:` and the saga's name.
    #[must_use]
    pub fn acting_as(mut self, actor: String) -> Self {
        self.actor = actor;
        self
    }

    /// The definition of new instances.
    pub fn newest(&self) -> &Arc<Definition> {
        #[expect(clippy::expect_used, reason = "checked when it was made")]
        self.definitions.values().next_back().expect("a definition")
    }

    /// Returns what this event starts, if anything. It does not check where the saga begins.
    pub fn start(&self, event: &RecordedEvent) -> Option<Start> {
        let (types, starts) = &self.starts;
        let start = types.contains(&event.event_type).then(|| starts(event)).flatten()?;
        let fits = self.is_key(&start.key, event) && self.is_storable(&start.data, event);
        fits.then_some(start)
    }

    /// Returns the key of the instance that this event is for, and its signal, if it is one.
    pub fn signal(&self, event: &RecordedEvent) -> Option<(String, Signal)> {
        let (types, signals) = &self.signals;
        let signal = types.contains(&event.event_type).then(|| signals(event)).flatten()?;
        self.is_key(&signal.0, event).then(|| (signal.0, signal.1.storable()))
    }

    fn is_key(&self, key: &str, event: &RecordedEvent) -> bool {
        let is_key = (1..=MAX_KEY).contains(&key.len()) && data::check_text(key).is_ok();
        if !is_key {
            let (saga, position) = (self.name, event.position.0);
            tracing::error!(saga, position, "a key is empty, too long or has NUL: ignored");
        }
        is_key
    }

    fn is_storable(&self, data: &Value, event: &RecordedEvent) -> bool {
        let (saga, position) = (self.name, event.position.0);
        let checked = data::check(data);
        let logged = checked.inspect_err(|error| {
            tracing::error!(saga, position, %error, "a saga cannot begin: the event is ignored");
        });
        logged.is_ok()
    }
}

/// The sagas that a program runs. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Sagas(Arc<BTreeMap<&'static str, Saga>>);

impl Sagas {
    /// The sagas of a program. Their names differ.
    ///
    /// # Errors
    /// [`InvalidDefinition::Sagas`].
    pub fn new(sagas: impl IntoIterator<Item = Saga>) -> Result<Self, InvalidDefinition> {
        let mut by_name = BTreeMap::new();
        for saga in sagas {
            let name = saga.name;
            if by_name.insert(name, saga).is_some() {
                return Err(InvalidDefinition::Sagas(name));
            }
        }
        Ok(Self(Arc::new(by_name)))
    }

    /// The saga of this name.
    pub fn get(&self, name: &str) -> Option<&Saga> {
        self.0.get(name)
    }

    /// All sagas, sorted by name.
    pub fn all(&self) -> impl Iterator<Item = &Saga> {
        self.0.values()
    }
}
