//! Applies erasures to rows in memory.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Incoming, Parking, Projection, Reason, Rows, WriteError, guard};
use crate::projection::RowKey as _;
use crate::projection::batch::changes;

impl<P: Projection> Rows<P> {
    /// Blanks the personal values of a subject in all its rows.
    pub(super) async fn blank(
        &mut self,
        connection: &mut PgConnection,
        (erased, of): (&Incoming<Uuid>, Option<&[P::Key]>),
        parking: &mut Parking,
    ) -> Result<(), WriteError> {
        let refused = |full: Reason| WriteError::Fold(erased.position, full);
        let mut held: Vec<P::Key> = Vec::new();
        let mut keys = if let Some(keys) = of {
            keys.to_vec()
        } else {
            held = parking.held_keys().collect();
            self.load(connection, held.clone()).await?;
            // It is unknown whose a row will be that does not exist yet.
            held.retain(|key| !self.is_at_hand(key) && self.only.has(key));
            self.rows_of(connection, erased).await?
        };
        self.load(connection, keys.clone()).await?;
        keys.retain(|key| self.only.has(key));
        for key in keys {
            if let Some(kept) = self.take(&key) {
                match guard::blank::<P>(&kept.row, erased) {
                    Ok(row) => {
                        self.past.erase_one(erased, &key, &row).map_err(refused)?;
                        self.put(key.clone(), row, kept.stored, erased);
                    }
                    Err(reason) if parking.is_idle() => return Err(refused(reason)),
                    Err(reason) => {
                        self.keep(key.clone(), kept.row, kept.stored);
                        let full = parking.refuse(erased.position, key.text(), &reason, false);
                        full.map_err(|full| refused(full.into()))?;
                        continue;
                    }
                }
            }
            if parking.holds(&key.text()) {
                held.push(key);
            }
        }
        for key in held {
            let absent = !self.is_at_hand(&key);
            parking
                .hold_back(erased.position, key.text(), absent)
                .map_err(|full| refused(full.into()))?;
        }
        Ok(())
    }

    /// The rows of a subject that does not determine their keys: the tables are asked for those
    /// that are not in memory. Rows are not written for that, because a build writes them together
    /// with its checkpoint.
    async fn rows_of(
        &self,
        connection: &mut PgConnection,
        erased: &Incoming<Uuid>,
    ) -> sqlx::Result<Vec<P::Key>> {
        let mut keys = Vec::new();
        if self.stored.any() {
            keys = P::rows_of(connection, &[erased.event]).await?;
            keys.retain(|key| !self.is_at_hand(key));
        }
        let at_hand = self.young.iter().chain(&self.old);
        let of_subject = at_hand.filter(|(_, kept)| {
            // A refusal is met again when the row is blanked.
            guard::blank::<P>(&kept.row, erased).map_or(true, |row| changes(&kept.row, &row))
        });
        keys.extend(of_subject.map(|(key, _)| key.clone()));
        Ok(keys)
    }
}
