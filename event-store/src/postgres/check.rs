//! Checks the conditions of an append before the lock, from the caller's position up to the head.
//! Under the lock, only newer events are left to check.
//!
//! - *near*: the call itself checks before it locks. This needs no round trip, and many appends
//!   share the call. It scans only a few events per item, so an old position or a broad tag delays
//!   nobody. Unfinished checks are returned as undecided.
//! - *far*: a separate statement scans as far as needed, and the append is sent again. An append
//!   with many items takes this way first.
//!
//! The near check stops after 64 events with the item's first tag.
//!
//! A position close to the head needs neither: what is newer is checked under the lock anyway. The
//! head must be known of late. Otherwise a process that was idle while others wrote would check all
//! that they wrote under the lock, and hold up every writer.

use std::time::Duration;

use super::Inner;
use super::current::on_current;
use crate::append::prepared::Prepared;
use crate::append::{Append, AppendOutcome, Refusal};
use crate::error::StoreError;
use crate::event::Position;

/// The maximum number of items of an append for the near check.
const MAX_NEAR_ITEMS: usize = 4;
/// The number of events behind the known head up to which an item is checked under the lock alone.
const CLOSE: i64 = 256;
/// The maximum age of that knowledge.
const RECENT: Duration = Duration::from_secs(1);
/// The position that makes the procedure check an item itself.
const NOT_CHECKED: i64 = -1;

impl Inner {
    /// Checks the conditions and appends.
    pub(super) async fn append(&self, append: Append) -> Result<AppendOutcome, StoreError> {
        if append.conditions.is_empty() {
            return self.batcher.append(Prepared::new(append)?).await;
        }
        let mut prepared = Prepared::new(append.clone())?;
        if prepared.checks.len() <= MAX_NEAR_ITEMS {
            let head = self.continuity.recent_head(RECENT);
            let is_close = |after: i64| head.is_some_and(|head| after >= head.0 - CLOSE);
            for check in prepared.checks.iter_mut().filter(|check| !is_close(check.after)) {
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
        let found = on_current!(
            self.scan,
            fetch_all,
            sqlx::query_file!("sql/check_conditions.sql", &after, &tags, &types)
        );
        for (check, row) in prepared.checks.iter_mut().zip(found?) {
            check.after = check.after.max(row.head);
            check.broken = row.broken;
        }
        Ok(())
    }
}

/// Whether the call neither found a broken condition nor finished its check.
fn is_undecided(outcome: &AppendOutcome) -> bool {
    matches!(outcome, AppendOutcome::Refused(Refusal::Condition { position,
        .. }) if *position < Position::START)
}
