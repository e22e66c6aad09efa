//! Instances that the tables say are this driver's, and that it does not know: the answer to their
//! claim was lost, or the process gave up between their commit and their hand-over. No other
//! process frees them while this one is alive.

use std::collections::HashSet;

use uuid::Uuid;

use crate::work::WorkTable;

/// The strays of the last round. One that is just being handed over looks like a stray for a
/// moment, so only those of two rounds in a row are freed.
#[derive(Debug, Default)]
pub(super) struct Strays(HashSet<Uuid>);

impl Strays {
    /// Frees the instances that are strays in the second round in a row. Returns how many.
    pub(super) async fn free(
        &mut self,
        (table, driver): (&WorkTable, Uuid),
        known: &[Uuid],
    ) -> sqlx::Result<usize> {
        let found = table.strays(driver, known).await?;
        let (again, new): (Vec<Uuid>, Vec<Uuid>) =
            found.into_iter().partition(|id| self.0.contains(id));
        if !again.is_empty() {
            table.free(driver, &again).await?;
        }
        self.0 = new.into_iter().collect();
        Ok(again.len())
    }
}
