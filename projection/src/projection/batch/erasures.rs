//! Blanks the stored past of the rows from which a batch erases a subject, piece by piece and ahead
//! of the batch.

use event_store::Position;
use sqlx::PgConnection;

use super::{Batch, Step};
use crate::projection::past::{PastErasure, Piece, blank_some};
use crate::projection::{Only, Projection, RowKey};

impl<P: Projection> Batch<P> {
    /// The rows among these keys from whose past the batch erases a subject.
    pub(super) fn erasures(&self, only: &Only) -> Vec<PastErasure> {
        if !P::HISTORY {
            return Vec::new();
        }
        let erasures = self.0.iter().filter_map(|step| match step {
            Step::Blank(erased, Some(keys)) => Some((erased, keys)),
            // A projection with a history knows the rows of a subject.
            Step::Blank(_, None) | Step::Fold(..) => None,
        });
        let rows = erasures.flat_map(|(erased, keys)| {
            keys.iter().filter(|key| only.has(*key)).map(|key| PastErasure {
                key: key.text(),
                subject: erased.event,
                position: erased.position,
            })
        });
        rows.collect()
    }

    /// See [`Prepared::blank_past`](crate::projection::Prepared::blank_past).
    pub(super) async fn blank_piece(
        &self,
        connection: &mut PgConnection,
        erasure: &PastErasure,
        rows: (Position, usize),
    ) -> sqlx::Result<Piece> {
        let of_it = self.0.iter().filter(|step| step.position() == erasure.position);
        let key = of_it
            .filter_map(|step| if let Step::Blank(_, keys) = step { keys.as_ref() } else { None })
            .find_map(|keys| keys.iter().find(|key| key.text() == erasure.key));
        // The erasure is always one of this batch.
        let Some(key) = key else { return Ok(Piece { rows: 0, last: rows.0, largest: 0 }) };
        blank_some::<P>(connection, (key, erasure.subject), rows).await
    }
}
