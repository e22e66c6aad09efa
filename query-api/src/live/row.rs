//! The rows that can be followed.

use uuid::Uuid;

use super::Live;
use super::hub::Hub;
use crate::read::order::OrderRow;
use crate::read::product::ProductRow;
use crate::read::table::ById;
use crate::read::user::UserRow;

/// A row that can be followed. It is never deleted. An erased one stays without its personal
/// values.
pub(crate) trait Followed: ById {
    /// The position of the last event that changed the row.
    fn position(&self) -> i64;

    /// The user to whom the row belongs, for good. `None` if it belongs to nobody.
    fn owner(&self) -> Option<Uuid>;

    /// Whether its personal values were erased.
    fn is_erased(&self) -> bool {
        false
    }

    /// The hub of these rows.
    fn hub(live: &Live) -> &Hub<Self>;
}

impl Followed for UserRow {
    fn position(&self) -> i64 {
        self.position
    }

    fn owner(&self) -> Option<Uuid> {
        Some(self.id)
    }

    fn is_erased(&self) -> bool {
        // Every user has an address until it is erased.
        self.email.is_none()
    }

    fn hub(live: &Live) -> &Hub<Self> {
        &live.0.users
    }
}

impl Followed for OrderRow {
    fn position(&self) -> i64 {
        self.position
    }

    fn owner(&self) -> Option<Uuid> {
        Some(self.user_id)
    }

    fn hub(live: &Live) -> &Hub<Self> {
        &live.0.orders
    }
}

impl Followed for ProductRow {
    fn position(&self) -> i64 {
        self.position
    }

    fn owner(&self) -> Option<Uuid> {
        None
    }

    fn hub(live: &Live) -> &Hub<Self> {
        &live.0.products
    }
}
