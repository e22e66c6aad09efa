//! Decides a command whose events the caller appends, together with events of its own.

use std::sync::Arc;

use event_store::{Append, StoreError};
use tokio::time::timeout;

use super::{Commands, Context, DEADLINE, Decided};
use crate::application::access::Permit;
use crate::application::error::CommandError;
use crate::application::use_case::{Turns, UseCase};

impl Commands {
    /// Decides a command on the states in the store, without appending. It takes at most
    /// [`DEADLINE`]. If the append is refused because another one came first, decide it again.
    ///
    /// # Errors
    /// [`CommandError`] if the command is refused or cannot be decided.
    pub async fn decided<U: UseCase>(
        &self,
        use_case: &U,
        permit: Permit,
        context: &Context,
    ) -> Result<Append, CommandError> {
        let _place =
            Arc::clone(&self.permits).try_acquire_owned().map_err(|_| CommandError::Overloaded)?;
        let deciding = self.decide(use_case, permit, (context, Turns::none()));
        // Nothing was appended, whatever the decision waited for.
        let overdue = |_| Err(StoreError::Unavailable(None).into());
        let Decided { epoch, decision, .. } =
            timeout(DEADLINE, deciding).await.unwrap_or_else(overdue)?;
        Ok(Append { epoch: Some(epoch), ..decision.changes.into_append() })
    }
}
