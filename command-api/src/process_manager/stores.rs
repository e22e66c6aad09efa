//! Opens the log and the keys of personal data, waits while one of them is away, and watches both.

use std::sync::Arc;
use std::time::Duration;

use event_store::encryption::SubjectKeyStore;
use event_store::postgres::{PostgresKeys, PostgresOptions, PostgresStore};
use event_store::{EventStore as _, Registry, StoreError, WrittenType, erasure};
use postgres_kit::{Pauses, PoolLimits, SchemaError};
use saga::work::WorkTable;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::health::{Component, Health};

use super::NAME;
use crate::application::erasure_gate::ErasureGate;

/// The pauses between attempts to reach a database at the start.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// The interval between two checks of the log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum time without progress of the watch.
const PULSE_LIMIT: Duration = Duration::from_secs(8);

/// What `/readyz` shows of the stores.
pub(super) struct Components {
    log: Component,
    keys: Component,
    types: Component,
    tables: Component,
    pub(super) health: Health,
}

impl Components {
    pub(super) fn of(health: &Health) -> Self {
        Self {
            log: health.component("event_store"),
            keys: health.component("subject_keys"),
            types: health.optional_component("event_types"),
            tables: health.component("saga_tables"),
            health: health.clone(),
        }
    }
}

/// The open stores.
pub(super) struct Stores {
    pub(super) log: Arc<PostgresStore>,
    pub(super) keys: Arc<dyn SubjectKeyStore>,
}

/// Why the process cannot work before a person acts.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// The log or the keys cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The schema of the work tables is not the one that this program knows.
    #[error(transparent)]
    Tables(#[from] SchemaError),
}

/// Opens the stores. It waits while one is away.
///
/// # Errors
/// [`Unusable`].
pub(super) async fn open(
    options: &PostgresOptions,
    (url, limits): (&SecretString, PoolLimits),
    tables: &WorkTable,
    registry: &Registry,
    components: &Components,
) -> Result<Stores, Unusable> {
    let attempt = || async {
        let store = PostgresStore::connect(options.clone()).await?;
        Ok::<_, Unusable>((registry.unreadable(store.written_types().await?), store))
    };
    let (unreadable, log) = patiently(&components.log, "the event store", attempt).await?;
    tell_unreadable(&unreadable, &components.types);
    components.log.ready();
    let attempt = || async {
        let keys = PostgresKeys::connect_with(url.expose_secret(), NAME, limits).await;
        Ok::<_, Unusable>(keys.map_err(StoreError::from)?)
    };
    let keys = patiently(&components.keys, "the store of subject keys", attempt).await?;
    let attempt = || async { Ok::<_, Unusable>(tables.check().await?) };
    patiently(&components.tables, "the work tables", attempt).await?;
    components.tables.ready();
    Ok(Stores { log: Arc::new(log), keys: Arc::new(keys) })
}

/// Watches the log and the keys. No saga works in an epoch of the log before every erasure is
/// applied to the keys: the command API does that. Returns only if the log cannot be used.
pub(super) async fn watch(
    stores: &Stores,
    gate: &ErasureGate,
    components: &Components,
) -> StoreError {
    let pulse = components.health.pulse("event_store_watch", PULSE_LIMIT);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = gate.doubted() => {}
        }
        pulse.beat();
        match stores.log.ready().await {
            Ok(head) => {
                components.log.ready();
                if gate.holds(head.epoch) {
                    components.keys.ready();
                    continue;
                }
                match erasure::is_settled(stores.log.as_ref(), stores.keys.as_ref()).await {
                    Ok(true) => {
                        gate.settle(head.epoch);
                        components.keys.ready();
                    }
                    Ok(false) => components.keys.not_ready(
                        "the key store holds keys of erased subjects: start the command API, which \
                         destroys them",
                    ),
                    Err(error) => components.keys.not_ready(error.to_string()),
                }
            }
            Err(error @ StoreError::Unusable(_)) => return error,
            Err(error) => components.log.not_ready(error.to_string()),
        }
    }
}

fn tell_unreadable(unreadable: &[WrittenType], component: &Component) {
    if unreadable.is_empty() {
        return component.ready();
    }
    let list = unreadable.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    tracing::error!(types = list, "the log holds events that this program cannot read");
    component.not_ready(format!("the log holds events that this program cannot read: {list}"));
}

/// Retries until it succeeds, or until it is clear that it never will.
async fn patiently<T, F>(
    component: &Component,
    what: &str,
    attempt: impl Fn() -> F,
) -> Result<T, Unusable>
where
    F: Future<Output = Result<T, Unusable>>,
{
    let judge = |error: Unusable, pause: Duration| {
        if is_final(&error) {
            return Err(error);
        }
        component.not_ready(error.to_string());
        let error = cli_kit::describe(&error);
        tracing::warn!(error, retry_in_ms = pause.as_millis(), "waiting for {what}");
        Ok(())
    };
    Pauses::new(RETRY_FIRST, RETRY_MOST).retry(attempt, judge).await
}

const fn is_final(error: &Unusable) -> bool {
    match error {
        Unusable::Store(StoreError::Unusable(_) | StoreError::Invalid(_)) => true,
        Unusable::Store(StoreError::Keys(error)) => !error.is_transient(),
        Unusable::Store(_) | Unusable::Tables(SchemaError::Database(_)) => false,
        Unusable::Tables(_) => true,
    }
}
