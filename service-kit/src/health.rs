//! The health of a process: which components are ready, and why others are not. Components report
//! here, and the admin port's `/readyz` reads it.
//!
//! Health must not lie. A process reports *not ready* while something it needs is away, and
//! recovers by itself; it never exits for that reason. A hung background task cannot report itself,
//! so each one has a pulse (`pulse.rs`) that readiness checks. A gauge whose source is away shows
//! no value instead of the last one (see `telemetry.rs`). Lag is measured against the head of the
//! log, in events and as the age of the oldest waiting event. No wait for a silent server is
//! endless: each call to Postgres and NATS has a limit, after which its connection is dropped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::pulse::Pulse;

/// The components of a process, and whether each is ready.
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
    tasks: BTreeMap<Cow<'static, str>, Watched>,
    draining: bool,
}

/// A background task whose pulse is checked with every report.
struct Watched {
    silence: Box<dyn Fn() -> Duration + Send + Sync>,
    limit: Duration,
    required: bool,
    /// Whether the task hung at the last check, so that only changes are logged.
    hung: bool,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, required, hung, .. } = self;
        f.debug_struct("Watched")
            .field("limit", limit)
            .field("required", required)
            .field("hung", hung)
            .finish_non_exhaustive()
    }
}

impl Watched {
    fn look(&mut self, name: &str) -> ComponentState {
        let silence = (self.silence)();
        let hangs = silence > self.limit;
        if hangs != std::mem::replace(&mut self.hung, hangs) {
            if hangs {
                tracing::error!(
                    task = name,
                    seconds = silence.as_secs(),
                    "a background task makes no progress"
                );
            } else {
                tracing::info!(task = name, "a background task makes progress again");
            }
        }
        let reason = hangs.then(|| format!("nothing has moved for {} s", silence.as_secs()));
        ComponentState { ready: !hangs, required: self.required, reason, needs_action: false }
    }
}

/// The state of one component, as `/readyz?verbose` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentState {
    /// Whether the component can do its work.
    pub ready: bool,
    /// Whether the process needs this component to be ready.
    pub required: bool,
    /// Why the component is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the component stays not ready until a person acts on the reason.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub needs_action: bool,
}

/// The state of all components at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The process id, so that a caller can check that it reached the intended process.
    pub pid: u32,
    /// Whether the process can take work.
    pub ready: bool,
    /// Whether the process is about to stop.
    pub draining: bool,
    /// Each component by name.
    pub components: BTreeMap<Cow<'static, str>, ComponentState>,
}

/// A handle with which a component reports its state.
#[derive(Debug, Clone)]
pub struct Component {
    health: Health,
    name: Cow<'static, str>,
}

impl Health {
    /// Creates health without components, which counts as ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component that the process needs. It is not ready until it reports so.
    pub fn component(&self, name: impl Into<Cow<'static, str>>) -> Component {
        self.add(name.into(), true)
    }

    /// Adds a component that the process can do without: reported, but not required.
    pub fn optional_component(&self, name: impl Into<Cow<'static, str>>) -> Component {
        self.add(name.into(), false)
    }

    /// Adds a background task that the process needs. The process is not ready while the task has
    /// made no progress for longer than `limit`. Every report checks it, so no other task has to
    /// run.
    pub fn pulse(&self, name: impl Into<Cow<'static, str>>, limit: Duration) -> Pulse {
        let pulse = Pulse::new();
        let watched = pulse.clone();
        self.watch(name, limit, true, move || watched.silence());
        pulse
    }

    /// Adds a background task that the process can do without. A hang is reported, but the process
    /// stays ready.
    pub fn optional_pulse(&self, name: impl Into<Cow<'static, str>>, limit: Duration) -> Pulse {
        let pulse = Pulse::new();
        let watched = pulse.clone();
        self.watch(name, limit, false, move || watched.silence());
        pulse
    }

    /// Adds a background task with a function that returns the time since its last progress. If the
    /// task is not `required`, a hang is reported, but the process stays ready.
    pub fn watch(
        &self,
        name: impl Into<Cow<'static, str>>,
        limit: Duration,
        required: bool,
        silence: impl Fn() -> Duration + Send + Sync + 'static,
    ) {
        let watched = Watched { silence: Box::new(silence), limit, required, hung: false };
        self.with(|state| state.tasks.insert(name.into(), watched));
    }

    /// Marks the process as about to stop: it is not ready from now on.
    pub fn drain(&self) {
        self.with(|state| state.draining = true);
    }

    /// Returns the state of all components.
    pub fn report(&self) -> Report {
        self.with(|state| {
            let mut components = state.components.clone();
            components
                .extend(state.tasks.iter_mut().map(|(name, task)| (name.clone(), task.look(name))));
            Report {
                pid: std::process::id(),
                ready: !state.draining
                    && components.values().all(|component| component.ready || !component.required),
                draining: state.draining,
                components,
            }
        })
    }

    fn add(&self, name: Cow<'static, str>, required: bool) -> Component {
        let starting = ComponentState {
            ready: false,
            required,
            reason: Some("starting".to_owned()),
            needs_action: false,
        };
        self.with(|state| state.components.insert(name.clone(), starting));
        Component { health: self.clone(), name }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Component {
    /// Reports that the component can do its work.
    pub fn ready(&self) {
        self.set(true, None, false);
    }

    /// Reports that the component cannot do its work, and why. Only the admin port shows the
    /// reason.
    pub fn not_ready(&self, reason: impl AsRef<str>) {
        self.set(false, Some(reason.as_ref()), false);
    }

    /// Reports that the component cannot do its work until a person acts on the reason. Waiting for
    /// it is useless.
    pub fn needs_action(&self, reason: impl AsRef<str>) {
        self.set(false, Some(reason.as_ref()), true);
    }

    /// Whether the component is ready.
    pub fn is_ready(&self) -> bool {
        self.health
            .with(|state| state.components.get(&self.name).is_some_and(|component| component.ready))
    }

    fn set(&self, ready: bool, reason: Option<&str>, needs_action: bool) {
        let changed = self.health.with(|state| {
            let component = state.components.get_mut(&self.name)?;
            let changed = component.ready != ready;
            component.ready = ready;
            component.reason = reason.map(ToOwned::to_owned);
            component.needs_action = needs_action;
            Some(changed)
        });
        if changed == Some(true) {
            if ready {
                tracing::info!(component = %self.name, "ready");
            } else {
                tracing::warn!(component = %self.name, reason = reason.unwrap_or_default(), "not \
                    ready");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_move_makes_the_process_not_ready_though_it_cannot_say_so() {
        let health = Health::new();
        let pulse = health.pulse("publishing", LIMIT);
        tokio::time::advance(LIMIT).await;
        assert!(health.report().ready, "within the limit");
        tokio::time::advance(Duration::from_secs(1)).await;
        let report = health.report();
        assert!(!report.ready);
        assert_eq!(
            report.components["publishing"].reason.as_deref(),
            Some("nothing has moved for 10 s")
        );
        pulse.beat();
        assert!(health.report().ready, "it makes progress again");
        pulse.rest();
        tokio::time::advance(LIMIT * 2).await;
        assert!(health.report().ready, "it has nothing to do");
    }

    #[test]
    fn what_waits_for_a_person_says_so_until_it_waits_no_more() {
        let health = Health::new();
        let projections = health.component("projections");
        let needs_action = || health.report().components["projections"].needs_action;
        projections.needs_action("run `projector rebuild users`");
        assert!(needs_action() && !health.report().ready);
        projections.not_ready("it is behind");
        assert!(!needs_action());
        projections.ready();
        assert!(!needs_action() && health.report().ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_died_is_noticed_and_one_that_is_not_required_is_only_shown() {
        let health = Health::new();
        drop(health.pulse("gone", LIMIT));
        health.watch("snapshots", LIMIT, false, || LIMIT * 2);
        let report = health.report();
        assert!(report.ready && !report.components["snapshots"].ready);
        tokio::time::advance(LIMIT * 2).await;
        assert!(!health.report().ready, "a dead process does not beat");
    }
}
