//! Reservations of e-mail addresses.

use std::sync::Arc;

use domain::user::User;
use domain::value::Email;
use event_store::{InvalidName, ReservationChange, ReservationKey, ReservedValue};
use uuid::Uuid;

use crate::application::repository::stream_of;

/// Makes reservations of e-mail addresses: one user per address, in any letter case.
///
/// An address is reserved at registration, moved when it changes, and released at deactivation. Its
/// owner can then register again.
#[derive(Clone)]
pub struct EmailReservations(Arc<ReservationKey>);

impl EmailReservations {
    /// The scope of the reservations.
    const SCOPE: &'static str = "user.email";

    /// Reservations that are hashed with this key.
    pub fn new(key: Arc<ReservationKey>) -> Self {
        Self(key)
    }

    /// The address as it is reserved: a keyed hash, the same for any letter case.
    pub fn reserved(&self, email: &Email) -> ReservedValue {
        self.0.hash(Self::SCOPE, &email.normalised())
    }

    /// Reserves the address for the user.
    ///
    /// # Errors
    /// Never for the id of a user.
    pub fn take(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.reserved(email);
        Ok(ReservationChange::Take { reservation, owner: stream_of::<User>(user_id)? })
    }

    /// Releases the user's address.
    ///
    /// # Errors
    /// Never for the id of a user.
    pub fn release(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.reserved(email);
        Ok(ReservationChange::Release { reservation, owner: stream_of::<User>(user_id)? })
    }
}
