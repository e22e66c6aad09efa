//! Registers this process for as long as it takes work.
//!
//! The client's library answers the three questions of the service protocol, from the moment it is
//! connected and again after each reconnect. The metadata is fixed, so the health is in the
//! statistics of the endpoint `health`, which is also a subject to ask for it.
//!
//! The library's task cannot report that it ended, and a server does not tell a program that it may
//! not subscribe. So this task asks for its own process as another one would, and registers again
//! if it gets no answer several times.

use std::time::Duration;

use async_nats::service::endpoint::Endpoint;
use async_nats::service::{Service, ServiceExt as _};
use futures::StreamExt as _;
use service_kit::Pulse;
use service_kit::health::{Component, Health};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::connection::{NatsHandle, REQUEST_TIMEOUT};
use crate::found::{HEALTH, Standing};
use crate::registration::Registration;

/// How often to check that the process is registered.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// The same while it is not.
const CHECK_SOON: Duration = Duration::from_millis(500);
/// After so many checks without an answer over a good connection, the process registers again.
const MAX_MISSES: u32 = 3;
/// After this time without progress, registering is considered hung. A check takes less.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Why a process is not registered. The text is for its admin port.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("the service could not be started: {0}")]
    Start(#[source] async_nats::Error),
    #[error("the connection to NATS took no message within {} s", REQUEST_TIMEOUT.as_secs())]
    Stuck,
    #[error("the subscription ended")]
    Ended,
    #[error("the registration is not answered")]
    Unanswered,
}

/// Keeps this process registered until `stop`, which is best the drain: a process that takes no new
/// work leaves the registry. Returns at once without NATS.
///
/// Health has the optional component `registry` and the optional pulse `registering`: the process
/// is ready without them.
pub async fn register(
    nats: Option<NatsHandle>,
    registration: Registration,
    health: Health,
    stop: CancellationToken,
) {
    let Some(nats) = nats else { return };
    let component = health.optional_component("registry");
    let pulse = health.optional_pulse("registering", SILENCE_LIMIT);
    // On the heap, because the futures of the client are large.
    let again = Box::pin(async {
        loop {
            let error = once(&nats, &registration, &health, (&component, &pulse)).await;
            component.not_ready(error.to_string());
            pulse.beat();
            tokio::time::sleep(CHECK_SOON).await;
        }
    });
    stop.run_until_cancelled(again).await;
    pulse.rest();
}

/// Stops answering when it is dropped: the library would go on.
struct Registered(Option<Service>);

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(service) = self.0.take() {
            // The future is ready at once: it only aborts the task that answers.
            drop(futures::FutureExt::now_or_never(service.stop()));
        }
    }
}

/// Registers, and stays so until something goes wrong.
async fn once(
    nats: &NatsHandle,
    registration: &Registration,
    health: &Health,
    (component, pulse): (&Component, &Pulse),
) -> RegisterError {
    let starting = timeout(REQUEST_TIMEOUT, start(nats, registration, health));
    let (_registered, endpoint, ping) = match starting.await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return RegisterError::Start(error),
        Err(_) => return RegisterError::Stuck,
    };
    tokio::select! {
        error = answer(endpoint, health) => error,
        error = check(nats, &ping, component, pulse) => error,
    }
}

/// Starts to answer. Returns the subject under which only this process answers, too.
async fn start(
    nats: &NatsHandle,
    registration: &Registration,
    health: &Health,
) -> Result<(Registered, Endpoint, String), async_nats::Error> {
    let Registration { name, version, metadata } = registration;
    let reported = health.clone();
    let service = nats
        .client()
        .service_builder()
        .metadata(metadata.clone())
        .stats_handler(move |_, _| standing(&reported))
        .start(name, version)
        .await?;
    let id = service.info().await.id;
    let registered = Registered(Some(service));
    let Some(service) = &registered.0 else { return Err(Box::new(RegisterError::Ended)) };
    let endpoint = service.endpoint_builder().name(HEALTH);
    let endpoint = endpoint.add(format!("{HEALTH}.{name}.{id}")).await?;
    tracing::info!(id, "registering with NATS");
    Ok((registered, endpoint, format!("$SRV.PING.{name}.{id}")))
}

fn standing(health: &Health) -> serde_json::Value {
    let standing = serde_json::to_value(Standing::from(&health.report()));
    standing.unwrap_or(serde_json::Value::Null)
}

/// Answers questions for the health of this process.
async fn answer(mut endpoint: Endpoint, health: &Health) -> RegisterError {
    while let Some(request) = endpoint.next().await {
        let answer = standing(health).to_string();
        // Who asks without a place for the answer gets none, and a lost one is asked for again.
        if let Err(error) = request.respond(Ok(answer.into())).await {
            tracing::debug!(%error, "a question for the health was not answered");
        }
    }
    RegisterError::Ended
}

/// Checks again and again that this process is registered.
async fn check(
    nats: &NatsHandle,
    ping: &str,
    component: &Component,
    pulse: &Pulse,
) -> RegisterError {
    let mut misses = 0;
    loop {
        pulse.beat();
        // A request has the deadline of the connection.
        let is_registered = if nats.is_connected() {
            match nats.client().request(ping.to_owned(), "".into()).await {
                Ok(_) => {
                    misses = 0;
                    component.ready();
                    true
                }
                Err(error) => {
                    misses += 1;
                    component.not_ready(format!("nobody sees this process: {error}"));
                    false
                }
            }
        } else {
            component.not_ready("NATS is away");
            false
        };
        if misses >= MAX_MISSES {
            return RegisterError::Unanswered;
        }
        tokio::time::sleep(if is_registered { CHECK_EVERY } else { CHECK_SOON }).await;
    }
}
