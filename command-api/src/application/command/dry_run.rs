//! A dry run of a command: it is decided on what is there now, and what would be appended is told
//! instead of appended.

use std::sync::Arc;

use event_store::{Epoch, NewEvent, Refusal, StoreError, StreamName};
use tokio::time::timeout;

use super::{Commands, Context, DEADLINE, Decided, refused};
use crate::application::error::CommandError;
use crate::application::idempotency::Answer;
use crate::application::use_case::{Decision, TurnSlot, UseCase};

/// How often a command is decided anew because something changed between deciding and checking.
const MAX_REHEARSALS: u32 = 3;

/// What a command would do.
#[derive(Debug)]
pub struct DryRun {
    /// Its ids; those of what would be made are made anew each time.
    pub answer: Answer,
    /// The history that it was decided in.
    pub epoch: Epoch,
    /// What would be appended, and to which stream.
    pub events: Vec<(StreamName, NewEvent)>,
    /// Why the append would be refused.
    pub refusal: Option<CommandError>,
}

impl Commands {
    /// Decides a command and checks what its append requires, without appending, within
    /// [`DEADLINE`]. An idempotency key is neither looked up nor kept.
    ///
    /// # Errors
    /// [`CommandError`], when the command is not even decided.
    pub async fn dry_run<U: UseCase>(
        &self,
        use_case: U,
        context: Context,
    ) -> Result<DryRun, CommandError> {
        let _permit =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        // Whatever it waits for, it changes nothing.
        let overdue = |_| Err(StoreError::Unavailable(None).into());
        timeout(DEADLINE, self.attempt_dry_run(use_case, context)).await.unwrap_or_else(overdue)
    }

    async fn attempt_dry_run<U: UseCase>(
        &self,
        use_case: U,
        context: Context,
    ) -> Result<DryRun, CommandError> {
        let mut attempts = 1;
        loop {
            let decided = self.decide(&use_case, &context, TurnSlot::Unneeded).await?;
            let Decided { epoch, decision: Decision { changes, line_id }, .. } = decided;
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
            let answer = Answer { id: changes.id(), line_id };
            return Ok(DryRun { answer, epoch, events, refusal: refusal.map(refused) });
        }
    }
}
