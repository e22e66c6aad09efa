//! Which parts of a process are ready, and why not. Shared by whoever watches a part and the admin port's `/readyz`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// The parts of a process and whether each is ready.
///
/// ```
/// # use service_kit::health::Health;
/// let health = Health::new();
/// let postgres = health.component("postgres");
/// assert!(!health.report().ready);
/// postgres.ready();
/// assert!(health.report().ready);
/// postgres.not_ready("connection refused");
/// assert!(!health.report().ready);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    components: BTreeMap<Cow<'static, str>, ComponentState>,
    draining: bool,
}

/// One part's state, as `/readyz?verbose` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentState {
    /// Whether it can do its work.
    pub ready: bool,
    /// Whether the process is ready only if this part is.
    pub required: bool,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The state of all parts at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The process that tells it: who asks can see whether it is the one that was meant.
    pub pid: u32,
    /// Whether the process can take work.
    pub ready: bool,
    /// Whether it is about to stop.
    pub draining: bool,
    /// Each part by name.
    pub components: BTreeMap<Cow<'static, str>, ComponentState>,
}

/// A handle to say how one part is.
#[derive(Debug, Clone)]
pub struct Component {
    health: Health,
    name: Cow<'static, str>,
}

impl Health {
    /// No parts yet, so ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part that the process needs; not ready until it says so.
    pub fn component(&self, name: impl Into<Cow<'static, str>>) -> Component {
        self.add(name.into(), true)
    }

    /// Adds a part that the process can do without: shown, but not counted.
    pub fn optional_component(&self, name: impl Into<Cow<'static, str>>) -> Component {
        self.add(name.into(), false)
    }

    /// The process is about to stop: not ready from now on.
    pub fn drain(&self) {
        self.with(|state| state.draining = true);
    }

    /// The state of all parts.
    pub fn report(&self) -> Report {
        self.with(|state| Report {
            pid: std::process::id(),
            ready: !state.draining && state.components.values().all(|part| part.ready || !part.required),
            draining: state.draining,
            components: state.components.clone(),
        })
    }

    fn add(&self, name: Cow<'static, str>, required: bool) -> Component {
        let starting = ComponentState { ready: false, required, reason: Some("starting".to_owned()) };
        self.with(|state| state.components.insert(name.clone(), starting));
        Component { health: self.clone(), name }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Component {
    /// The part can do its work.
    pub fn ready(&self) {
        self.set(true, None);
    }

    /// The part cannot do its work, and why. The reason is shown on the admin port only.
    pub fn not_ready(&self, reason: impl AsRef<str>) {
        self.set(false, Some(reason.as_ref()));
    }

    /// Whether the part is ready.
    pub fn is_ready(&self) -> bool {
        self.health.with(|state| state.components.get(&self.name).is_some_and(|part| part.ready))
    }

    fn set(&self, ready: bool, reason: Option<&str>) {
        let changed = self.health.with(|state| {
            let part = state.components.get_mut(&self.name)?;
            let changed = part.ready != ready;
            part.ready = ready;
            part.reason = reason.map(ToOwned::to_owned);
            Some(changed)
        });
        if changed == Some(true) {
            if ready {
                tracing::info!(component = %self.name, "ready");
            } else {
                tracing::warn!(component = %self.name, reason = reason.unwrap_or_default(), "not ready");
            }
        }
    }
}
