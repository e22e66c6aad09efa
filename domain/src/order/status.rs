//! The status of an order.

use serde::{Deserialize, Serialize};

/// Makes the enum, the list of all and the words of one list.
macro_rules! statuses {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// The status of an order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum OrderStatus {
            $($(#[doc = $doc])+ $name,)+
        }

        impl OrderStatus {
            /// All statuses.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The status as a word, as stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

statuses! {
    /// The order is open: its lines can change.
    Pending = "pending",
    /// The order is confirmed and counts as a sale. Its payment is awaited.
    Confirmed = "confirmed",
    /// The order is paid and can be shipped.
    Paid = "paid",
    /// The order is on its way.
    Shipped = "shipped",
    /// The order has arrived.
    Delivered = "delivered",
    /// The order is cancelled, and does not count as a sale. What was paid is to be refunded.
    Cancelled = "cancelled",
    /// The whole payment was given back after the order was shipped.
    Refunded = "refunded",
}
