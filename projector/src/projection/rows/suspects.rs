//! Rows in memory that Postgres refuses: found when they are written, and then shown to it after each event, so that the event is
//! parked which makes of a row what Postgres refuses.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use super::Rows;
use crate::projection::batch::{Step, Touched, fold_event};
use crate::projection::copy::copy_in;
use crate::projection::{Only, Parking, Projection, Reason, RowKey as _, WriteError, apart, guard};

impl<P: Projection> Rows<P> {
    /// Folds the rows of suspects event by event, each shown to Postgres; the others together.
    pub(super) async fn fold_suspects(
        &mut self,
        connection: &mut PgConnection,
        steps: &[Step<P>],
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let others = Only::AllBut(Box::new(self.only.clone()), Arc::clone(&self.suspects));
        self.fold_carefully(steps, &others, parking)?;
        for event in steps.chunk_by(|a, b| a.position() == b.position()) {
            let mut keys: Vec<P::Key> = Vec::new();
            for step in event {
                if let Step::Fold(_, of) = step {
                    keys.extend(of.iter().filter(|key| self.only.has(*key) && !others.has(*key)).cloned());
                }
            }
            keys.sort_unstable();
            keys.dedup();
            for key in keys {
                self.fold_suspect(connection, event, key, parking).await?;
            }
        }
        Ok(())
    }

    async fn fold_suspect(
        &mut self,
        connection: &mut PgConnection,
        event: &[Step<P>],
        key: P::Key,
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let Some(position) = event.first().map(Step::position) else { return Ok(()) };
        let full = |full: Reason| WriteError::Fold(position, full);
        let (before, stored) = self.take(&key).map_or((None, false), |kept| (Some(kept.row), kept.stored));
        let (found, only) = (parking.found(), Only::Key(key.text()));
        let mut rows: Touched<P> = before.clone().map(|row| (key.clone(), row)).into_iter().collect();
        fold_event::<P>(event, &mut rows, &only, parking).map_err(full)?;
        let mut after = rows.remove(&key);
        if let Some(row) = after.as_ref().filter(|_| parking.found() == found)
            && let Err(reason) = Self::try_write(connection, &[(row, stored)]).await?
        {
            let refused = parking.refuse(position, key.text(), &reason, before.is_none());
            refused.map_err(|error| full(error.into()))?;
            after = before;
        }
        if let Some(row) = after {
            self.keep(key, row, stored);
        }
        Ok(())
    }

    /// Whether Postgres would take these rows, each with whether its table has one of the key; leaves no trace.
    async fn try_write(connection: &mut PgConnection, rows: &[(&P::Row, bool)]) -> sqlx::Result<Result<(), Reason>> {
        let mut attempt = connection.begin().await?;
        let stored: Vec<P::Row> = rows.iter().filter(|(_, stored)| *stored).map(|(row, _)| (*row).clone()).collect();
        let new: Vec<&P::Row> = rows.iter().filter(|(_, stored)| !*stored).map(|(row, _)| *row).collect();
        let mut done = Ok(());
        if !new.is_empty() {
            done = copy_in(&mut attempt, P::COPY, new.into_iter(), P::copy).await.map(drop);
        }
        if done.is_ok() && !stored.is_empty() {
            done = guard::save::<P>(&mut attempt, &stored).await;
        }
        attempt.rollback().await?;
        match done {
            Err(error) if apart::is_refusal(&error) => Ok(Err(apart::why(&error).into())),
            done => done.map(Ok),
        }
    }

    /// See [`super::AnyRows::refused`].
    pub(super) async fn find_refused(&self, connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        let changed = self.young.iter().chain(&self.old).filter(|(_, kept)| kept.changed);
        let rows: Vec<_> = changed.map(|(key, kept)| (key, (&kept.row, kept.stored))).collect();
        let (mut refused, mut waiting) = (Vec::new(), vec![rows.as_slice()]);
        while let Some(some) = waiting.pop() {
            let values: Vec<(&P::Row, bool)> = some.iter().map(|(_, row)| *row).collect();
            if values.is_empty() || Self::try_write(connection, &values).await?.is_ok() {
                continue;
            }
            match some {
                [(key, _)] => refused.push(key.text()),
                _ => waiting.extend([&some[..some.len() / 2], &some[some.len() / 2..]]),
            }
        }
        Ok(refused)
    }
}
