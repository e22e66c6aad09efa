//! The conditions of an append, from its caller's position up to the head: before the lock on the
//! log, under which only what came since is left.
//!
//! - *near*: the call itself looks, before it locks: there is no round trip, and many appends share
//!   the call. It looks only so far at each item, so that an old position or a broad tag holds up
//!   nobody; what it leaves open comes back undecided;
//! - *far*: a statement of its own looks as far as it takes, and the append is sent again, or for
//!   the first time when it has many items.
//!
//! The near look stops after 64 events with the item's first tag.

use super::Inner;
use crate::append::prepared::Prepared;
use crate::append::{Append, AppendOutcome, Refusal};
use crate::error::StoreError;
use crate::event::Position;

/// The most items of an append that its call looks at.
const MAX_NEAR_ITEMS: usize = 4;
/// What the procedure takes for an item that it should look at.
const NOT_CHECKED: i64 = -1;

impl Inner {
    /// Checks the conditions and appends.
    pub(super) async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        if append.conditions.is_empty() {
            return self.batcher.append(Prepared::new(append)?).await;
        }
        let mut prepared = Prepared::new(append.clone())?;
        if prepared.checks.len() <= MAX_NEAR_ITEMS {
            for check in &mut prepared.checks {
                check.broken = Some(NOT_CHECKED);
            }
            let outcome = self.batcher.append(prepared).await?;
            if !is_undecided(&outcome) {
                return Ok(outcome);
            }
            prepared = Prepared::new(append)?;
        }
        self.check_far(&mut prepared).await?;
        self.batcher.append(prepared).await
    }

    async fn check_far(&self, prepared: &mut Prepared) -> Result<(), StoreError> {
        let after: Vec<i64> = prepared.checks.iter().map(|c| c.after).collect();
        let tags: Vec<String> = prepared.checks.iter().map(|c| c.tags.clone()).collect();
        let types: Vec<String> = prepared.checks.iter().map(|c| c.types.clone()).collect();
        let found = sqlx::query_file!("sql/check_conditions.sql", &after, &tags, &types);
        let found = found.fetch_all(&self.scan).await.map_err(|error| self.failed(error))?;
        for (check, row) in prepared.checks.iter_mut().zip(found) {
            check.after = check.after.max(row.head);
            check.broken = row.broken;
        }
        Ok(())
    }
}

/// Whether the call found neither a broken condition nor the end of what it had to look at.
fn is_undecided(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Refused(Refusal::Condition { position,
        .. }) if *position < Position::START)
}
