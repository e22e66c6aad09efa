//! The rows that can be followed.

use uuid::Uuid;

use super::Live;
use super::hub::Hub;
use crate::read::order::{LineRow, OrderRow};
use crate::read::product::ProductRow;
use crate::read::table::ById;
use crate::read::user::{AddressColumn, UserRow};

/// About how much memory the texts of a user, or of an address, take, in bytes.
const TEXTS: usize = 256;

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

    /// About how much memory the row takes, in bytes.
    fn bytes(&self) -> usize;

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

    fn bytes(&self) -> usize {
        // Next to the texts and sums within the row, the addresses may be many.
        size_of::<Self>() + TEXTS + self.addresses.len() * (size_of::<AddressColumn>() + TEXTS)
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

    fn bytes(&self) -> usize {
        let names: usize = self.lines.iter().map(|line| line.product_name.len()).sum();
        size_of::<Self>() + self.lines.len() * size_of::<LineRow>() + names
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

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }

    fn hub(live: &Live) -> &Hub<Self> {
        &live.0.products
    }
}
