//! Finds rows in memory that Postgres refuses when they are written.

use std::collections::HashSet;

use sqlx::{Connection as _, PgConnection};

use super::Rows;
use crate::projection::copy::copy_in;
use crate::projection::past::Past;
use crate::projection::{Projection, apart, guard};

impl<P: Projection> Rows<P> {
    /// See [`super::AnyRows::write_possible`].
    pub(super) async fn write_all_possible(
        &mut self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<usize> {
        // A refused past row is left out, as in live projection.
        let mut past = std::mem::replace(&mut self.past, Past::none());
        let refused = self.write_possible_rows(connection).await?;
        past.save_possible(connection).await?;
        self.past = past;
        Ok(refused)
    }

    async fn write_possible_rows(&mut self, connection: &mut PgConnection) -> sqlx::Result<usize> {
        let mut attempt = connection.begin().await?;
        match self.write_but(&mut attempt, &HashSet::new()).await {
            Err(error) if apart::is_refusal(&error) => attempt.rollback().await?,
            written => {
                written?;
                attempt.commit().await?;
                return Ok(0);
            }
        }
        let refused = self.find_refused(connection).await?;
        self.write_but(connection, &refused).await?;
        Ok(refused.len())
    }

    /// Whether Postgres accepts these rows. Each comes with whether the table has its key. It
    /// leaves no trace.
    async fn are_possible(
        connection: &mut PgConnection,
        rows: &[(&P::Row, bool)],
    ) -> sqlx::Result<bool> {
        let mut attempt = connection.begin().await?;
        let stored: Vec<P::Row> =
            rows.iter().filter(|(_, stored)| *stored).map(|(row, _)| (*row).clone()).collect();
        let new: Vec<&P::Row> =
            rows.iter().filter(|(_, stored)| !*stored).map(|(row, _)| *row).collect();
        let mut done = Ok(());
        if !new.is_empty() {
            done = copy_in(&mut attempt, new.into_iter()).await.map(drop);
        }
        if done.is_ok() && !stored.is_empty() {
            done = guard::save::<P>(&mut attempt, &stored).await;
        }
        attempt.rollback().await?;
        match done {
            Err(error) if apart::is_refusal(&error) => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// The keys of the changed rows that are refused.
    async fn find_refused(&self, connection: &mut PgConnection) -> sqlx::Result<HashSet<P::Key>> {
        let changed = self.young.iter().chain(&self.old).filter(|(_, kept)| kept.changed);
        let rows: Vec<_> = changed.map(|(key, kept)| (key, (&kept.row, kept.stored))).collect();
        let (mut refused, mut waiting) = (HashSet::new(), vec![rows.as_slice()]);
        while let Some(some) = waiting.pop() {
            let values: Vec<(&P::Row, bool)> = some.iter().map(|(_, row)| *row).collect();
            if values.is_empty() || Self::are_possible(connection, &values).await? {
                continue;
            }
            match some {
                [(key, _)] => {
                    refused.insert((*key).clone());
                }
                _ => waiting.extend([&some[..some.len() / 2], &some[some.len() / 2..]]),
            }
        }
        Ok(refused)
    }
}
