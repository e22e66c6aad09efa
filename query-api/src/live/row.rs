//! The rows that can be followed, and the hubs that hand them out.

use service_kit::Pulse;
use uuid::Uuid;

use super::Live;
use super::hub::Hub;
use crate::read::Reader;
use crate::read::order::{LineRow, OrderRow};
use crate::read::product::ProductRow;
use crate::read::table::ById;
use crate::read::user::{AddressColumn, UserRow};

/// About how much memory the texts of a user, or of an address, take, in bytes.
const TEXTS: usize = 256;

/// A row that can be followed. It is never deleted. An erased one stays without its personal
/// values.
pub(crate) trait Followed: ById + HasHub {
    /// The position of the last event that changed the row.
    fn position(&self) -> i64;

    /// The user to whom the row belongs, for good. `None` if it belongs to nobody.
    fn owner(&self) -> Option<Uuid> {
        None
    }

    /// Whether its personal values were erased.
    fn is_erased(&self) -> bool {
        false
    }

    /// About how much memory the row takes, in bytes, with what it points to.
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// Rows that have a hub.
pub(crate) trait HasHub: Sized {
    /// The hub of these rows.
    fn hub(live: &Live) -> &Hub<Self>;
}

/// Declares the hubs of a process, one for each kind of row.
macro_rules! hubs {
    ($($name:ident: $Row:ty,)+) => {
        /// The statement that finds what changed, of each kind of row that can be followed.
        pub const CHANGED: &[&str] = &[$(<$Row as ById>::CHANGED),+];

        /// The hubs of a process.
        #[derive(Debug, Default)]
        pub(super) struct Hubs {
            $($name: Hub<$Row>,)+
        }

        impl Hubs {
            /// Reads what changes while there are clients. It never ends.
            pub(super) async fn run(
                &self,
                reader: &Reader,
                pulse: impl Fn(&'static str) -> Pulse,
            ) {
                // Boxed: inline, they would make the future of the whole process large.
                tokio::join!($(
                    Box::pin(self.$name.run(reader, pulse(concat!("live-", stringify!($name)))))
                ),+);
            }
        }

        $(
            impl HasHub for $Row {
                fn hub(live: &Live) -> &Hub<Self> {
                    &live.0.hubs.$name
                }
            }
        )+
    };
}

hubs! {
    // One line each.
    orders: OrderRow,
    products: ProductRow,
    users: UserRow,
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
}

impl Followed for ProductRow {
    fn position(&self) -> i64 {
        self.position
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }
}
