//! The dry run of an append: reports a refusal without appending.

use super::{Match, UpcastingError, UpcastingLog};
use crate::append::prepared::Prepared;
use crate::append::{Append, Refusal};
use crate::encryption::Vault;
use crate::error::StoreError;
use crate::subject::subject_stream;

impl UpcastingLog {
    /// Returns the refusal that this append would get now: the first one in the order of an
    /// append's checks. Nothing is appended or locked, so another append may change the answer at
    /// once. The idempotency key is ignored.
    ///
    /// # Errors
    /// [`UpcastingError`]; [`crate::StoreError::Invalid`] when the append breaks a limit or a rule
    /// whatever the log holds.
    pub async fn check(&self, append: &Append) -> Result<Option<Refusal>, UpcastingError> {
        let prepared = Prepared::new(append.clone())?;
        if let Some(refusal) = self.store.refused_for_its_content(append).await? {
            return Ok(Some(refusal));
        }
        if let Some(epoch) = append.epoch {
            let actual = self.store.head().await?.epoch;
            if actual != epoch {
                return Ok(Some(Refusal::Epoch { actual }));
            }
        }
        let mut subjects = prepared.subjects;
        if self.store.vault().is_some() {
            subjects.extend(Vault::subjects_of(append)?);
        }
        for subject in subjects {
            let stream =
                subject_stream(subject).map_err(|error| StoreError::Invalid(error.to_string()))?;
            if !self.store.read_stream_backward(&stream, None, 1).await?.is_empty() {
                return Ok(Some(Refusal::SubjectErased { subject }));
            }
        }
        for stream in &append.streams {
            let last = self.store.read_stream_backward(&stream.stream, None, 1).await?;
            let refusal = stream.refusal(last.first());
            if refusal.is_some() {
                return Ok(refusal);
            }
        }
        for (index, condition) in append.conditions.iter().enumerate() {
            if let Match::At(position) =
                self.first_match(&condition.query, condition.after.next()).await?
            {
                return Ok(Some(Refusal::Condition { index, position }));
            }
        }
        let reservations: Vec<_> =
            prepared.reservations.iter().map(|step| step.reservation.clone()).collect();
        if reservations.is_empty() {
            return Ok(None);
        }
        let owners = self.store.reservation_owners(&reservations).await?;
        let held = prepared
            .reservations
            .iter()
            .zip(owners)
            .filter_map(|(step, owner)| step.refusal(owner.as_ref()));
        Ok(held
            .min_by_key(|(index, _)| *index)
            .map(|(index, owner)| Refusal::Reservation { index, owner }))
    }
}
