//! Dry runs of commands: decide on the current state, and report the append instead of making it.

use std::sync::Arc;

use event_store::{Epoch, NewEvent, Refusal, StoreError, StreamName};
use tokio::time::timeout;

use super::{Commands, Context, DEADLINE, Decided, refused};
use crate::application::access::Permit;
use crate::application::error::CommandError;
use crate::application::idempotency::Answer;
use crate::application::use_case::{Decision, Turns, UseCase};

/// The maximum number of attempts, if something changes between the decision and the check.
const MAX_REHEARSALS: u32 = 3;

/// The result of a dry run.
#[derive(Debug)]
pub struct DryRun {
    /// The ids of the answer. Ids of new resources are different each time.
    pub answer: Answer,
    /// The epoch that the command was decided in.
    pub epoch: Epoch,
    /// The events that would be appended, each with its stream.
    pub events: Vec<(StreamName, NewEvent)>,
    /// The reason why the append would be refused, if it would be.
    pub refusal: Option<CommandError>,
}

impl Commands {
    /// Decides a command and checks the requirements of its append, without appending. It takes at
    /// most [`DEADLINE`].
    ///
    /// An idempotency key is neither looked up nor stored.
    ///
    /// # Errors
    /// [`CommandError`] if the command cannot be decided.
    pub async fn dry_run<U: UseCase>(
        &self,
        use_case: U,
        permit: Permit,
        context: Context,
    ) -> Result<DryRun, CommandError> {
        let _place =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        // A dry run changes nothing, whatever it waits for.
        let overdue = |_| Err(StoreError::Unavailable(None).into());
        timeout(DEADLINE, self.attempt_dry_run(use_case, permit, context))
            .await
            .unwrap_or_else(overdue)
    }

    async fn attempt_dry_run<U: UseCase>(
        &self,
        use_case: U,
        permit: Permit,
        context: Context,
    ) -> Result<DryRun, CommandError> {
        if let Some(batch) = context.batch.clone() {
            return self.join_dry_run(use_case, permit, context, &batch).await;
        }
        let mut attempts = 1;
        loop {
            let decided = self.decide(&use_case, permit, (&context, Turns::none())).await?;
            let Decided { epoch, decision: Decision { changes, part }, .. } = decided;
            let refusal = self.repository.check(epoch, &changes).await?;
            let changed_meanwhile = matches!(
                refusal,
                Some(Refusal::Version { .. } | Refusal::Condition { .. } | Refusal::Epoch { .. })
            );
            if changed_meanwhile && attempts < MAX_REHEARSALS {
                attempts += 1;
                continue;
            }
            let events =
                changes.events().map(|(stream, event)| (stream.clone(), event.clone())).collect();
            let answer = Answer { id: changes.id(), part };
            return Ok(DryRun { answer, epoch, events, refusal: refusal.map(refused) });
        }
    }
}
