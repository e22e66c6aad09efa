//! The orders of a user that are not finished yet.
//!
//! Each order is opened here in the append that places it, and closed in the append that ends it.
//! So the log itself says whether a user has an open order, without a read model. The stream is
//! separate from the user's: an order does not change the version of the user.
//!
//! Orders are opened and closed in any sequence, so commands on different orders of a user do not
//! compete here.
//!
//! The erasure of a person first ends the stream. No order of that person is placed afterwards.
//!
//! An order that was imported from another system is not listed: it was settled there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec, stored_events};

#[cfg(test)]
mod tests;

/// The maximum number of open orders of a user. Orders that are placed at the same moment do not
/// see each other, so they may exceed it by their number.
pub const MAX_OPEN_ORDERS: usize = 1_000;

/// The open orders of a user. The default is a user who never ordered.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UserOrders {
    /// Sorted. New ids are the largest ones, so most are added at the end.
    open: Vec<Uuid>,
    has_ended: bool,
}

/// An event of the orders of a user.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UserOrdersEvent {
    /// `user_orders.opened` v1: an order was placed.
    Opened(UserOrdersOpened),
    /// `user_orders.closed` v1: an order was delivered, cancelled or refunded in whole.
    Closed(UserOrdersClosed),
    /// `user_orders.ended` v1: the user places no more orders.
    Ended(UserOrdersEnded),
}

stored_events!(UserOrdersEvent {
    Opened(UserOrdersOpened) => "user_orders.opened", 1;
    Closed(UserOrdersClosed) => "user_orders.closed", 1;
    Ended(UserOrdersEnded) => "user_orders.ended", 1;
});

/// The payload of `user_orders.opened` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserOrdersOpened {
    /// The user's id.
    pub user_id: Uuid,
    /// The order's id.
    pub order_id: Uuid,
}

/// The payload of `user_orders.closed` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserOrdersClosed {
    /// The user's id.
    pub user_id: Uuid,
    /// The order's id.
    pub order_id: Uuid,
}

/// The payload of `user_orders.ended` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UserOrdersEnded {
    /// The user's id.
    pub user_id: Uuid,
}

/// A command to the orders of a user.
#[derive(Debug, Clone)]
pub enum UserOrdersCommand {
    /// Opens an order.
    Open {
        /// The user's id.
        user_id: Uuid,
        /// The order's id.
        order_id: Uuid,
    },
    /// Closes an order. An order that is not open changes nothing.
    Close {
        /// The user's id.
        user_id: Uuid,
        /// The order's id.
        order_id: Uuid,
    },
    /// Ends the orders of the user for good. A repeat changes nothing.
    End {
        /// The user's id.
        user_id: Uuid,
    },
}

/// Why the orders of a user refuse a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserOrdersError {
    /// The user's data is erased, or about to be.
    #[error("the user places no more orders")]
    Ended,
    /// The user has [`MAX_OPEN_ORDERS`] open orders.
    #[error("a user has at most {MAX_OPEN_ORDERS} open orders")]
    TooMany,
    /// The orders of a user end only when none is open.
    #[error("order {first} is open{}", others(*count))]
    Open {
        /// The id of the oldest open order.
        first: Uuid,
        /// The number of open orders.
        count: usize,
    },
}

fn others(count: usize) -> String {
    if count > 1 { format!(", and {} more", count - 1) } else { String::new() }
}

impl UserOrdersEvent {
    /// The id of the user whose orders they are.
    pub const fn user_id(&self) -> Uuid {
        match self {
            Self::Opened(UserOrdersOpened { user_id, .. })
            | Self::Closed(UserOrdersClosed { user_id, .. })
            | Self::Ended(UserOrdersEnded { user_id }) => *user_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let mut labels = vec![("user_orders", self.user_id())];
        match self {
            Self::Opened(UserOrdersOpened { order_id, .. })
            | Self::Closed(UserOrdersClosed { order_id, .. }) => labels.push(("order", *order_id)),
            Self::Ended(_) => {}
        }
        labels
    }
}

impl UserOrders {
    /// The ids of the open orders, sorted.
    pub fn open(&self) -> &[Uuid] {
        &self.open
    }

    /// Checks that the user may still place orders.
    ///
    /// # Errors
    /// [`UserOrdersError::Ended`].
    pub const fn check_not_ended(&self) -> Result<(), UserOrdersError> {
        if self.has_ended { Err(UserOrdersError::Ended) } else { Ok(()) }
    }

    fn end(&self, user_id: Uuid) -> Result<Option<UserOrdersEvent>, UserOrdersError> {
        match self.open.first() {
            Some(first) => Err(UserOrdersError::Open { first: *first, count: self.open.len() }),
            None if self.has_ended => Ok(None),
            None => Ok(Some(UserOrdersEvent::Ended(UserOrdersEnded { user_id }))),
        }
    }
}

impl Aggregate for UserOrders {
    type Command = UserOrdersCommand;
    type Event = UserOrdersEvent;
    type Error = UserOrdersError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(1));

    fn heap_bytes(&self) -> usize {
        size_of_val(self.open.as_slice())
    }

    fn decide(&self, command: UserOrdersCommand) -> Result<Vec<UserOrdersEvent>, UserOrdersError> {
        let event = match command {
            UserOrdersCommand::Open { user_id, order_id } => {
                self.check_not_ended()?;
                if self.open.len() >= MAX_OPEN_ORDERS {
                    return Err(UserOrdersError::TooMany);
                }
                let opened = UserOrdersOpened { user_id, order_id };
                let is_new = self.open.binary_search(&order_id).is_err();
                is_new.then_some(UserOrdersEvent::Opened(opened))
            }
            UserOrdersCommand::Close { user_id, order_id } => {
                let closed = UserOrdersClosed { user_id, order_id };
                let is_open = self.open.binary_search(&order_id).is_ok();
                is_open.then_some(UserOrdersEvent::Closed(closed))
            }
            UserOrdersCommand::End { user_id } => self.end(user_id)?,
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(mut self, event: UserOrdersEvent) -> Self {
        match event {
            UserOrdersEvent::Opened(UserOrdersOpened { order_id, .. }) => {
                if let Err(place) = self.open.binary_search(&order_id) {
                    self.open.insert(place, order_id);
                }
            }
            UserOrdersEvent::Closed(UserOrdersClosed { order_id, .. }) => {
                self.open.retain(|open| *open != order_id);
            }
            UserOrdersEvent::Ended(_) => self.has_ended = true,
        }
        self
    }
}
