//! Gives events to the receiver. While the receiver cannot work, the event is held and tried again
//! with backoff: a broker counts how often it delivers an event, and would set it aside.

use std::time::Duration;

use postgres_kit::Pauses;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::policy::{Retries, Step};
use super::receiver::{Incoming, NotTaken, Receiver};
use crate::consumer::BoxError;

/// The first pause after the receiver could not work. It doubles up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// The process is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Drained;

/// A receiver with its limits.
pub(super) struct Taking<R> {
    receiver: R,
    retries: Retries,
    /// How long a call of the receiver may take.
    limit: Duration,
    pauses: Pauses,
}

impl<R: Receiver> Taking<R> {
    pub(super) fn new(receiver: R, retries: Retries, limit: Duration) -> Self {
        Self { receiver, retries, limit, pauses: Pauses::new(RETRY_FIRST, RETRY_MOST) }
    }

    /// All delays before another attempt.
    pub(super) fn delays(&self) -> &[Duration] {
        self.retries.delays()
    }

    /// Hands an event over, and decides what happens to it.
    pub(super) async fn step(
        &mut self,
        incoming: &Incoming,
        drain: &CancellationToken,
    ) -> Result<Step, Drained> {
        loop {
            let taken = match timeout(self.limit, self.receiver.take(incoming)).await {
                Ok(taken) => taken,
                Err(_) => Err(NotTaken::Later("the receiver did not end in time".into())),
            };
            match self.retries.step(taken, incoming.attempts) {
                Ok(step) => {
                    self.pauses.reset();
                    return Ok(step);
                }
                Err(error) => self.wait(&error, drain).await?,
            }
        }
    }

    /// Blanks the personal fields of erased subjects. Returns whether there are any.
    pub(super) async fn blank(
        &mut self,
        incoming: &mut Incoming,
        drain: &CancellationToken,
    ) -> Result<bool, Drained> {
        let subjects = incoming.subjects();
        if subjects.is_empty() {
            return Ok(false);
        }
        loop {
            let asked = timeout(self.limit, self.receiver.erased_among(&subjects)).await;
            match asked.unwrap_or_else(|_| Err("no answer in time".into())) {
                Ok(erased) => {
                    incoming.blank(&erased);
                    return Ok(!erased.is_empty());
                }
                Err(error) => self.wait(&error, drain).await?,
            }
        }
    }

    async fn wait(&mut self, error: &BoxError, drain: &CancellationToken) -> Result<(), Drained> {
        tracing::warn!(%error, "the receiver cannot work now: will retry");
        tokio::select! {
            () = tokio::time::sleep(self.pauses.next_pause()) => Ok(()),
            () = drain.cancelled() => Err(Drained),
        }
    }
}
