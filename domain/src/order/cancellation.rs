//! Why an order is cancelled, in words for customers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Makes the enum, the list of all reasons and their words from one list.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why an order is cancelled. The words are stored in events, so they are permanent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum CancelReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl CancelReason {
            /// All reasons, in the sequence in which they are declared.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason as a word, as stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

reasons! {
    /// The user who ordered wants it.
    Customer = "customer",
    /// Staff decided it.
    Staff = "staff",
    /// There is not enough in stock.
    OutOfStock = "out_of_stock",
    /// The bank or the provider declined the payment.
    PaymentDeclined = "payment_declined",
    /// No answer about the payment came in time.
    PaymentUnanswered = "payment_unanswered",
    /// The shipper does not ship it.
    ShippingRejected = "shipping_rejected",
    /// It was not shipped in time.
    Expired = "expired",
    /// The personal data of the user who ordered are erased.
    UserErased = "user_erased",
}

/// What is known of a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// Why the order is cancelled.
    pub reason: CancelReason,
    /// The products that it is about, such as those that lack units.
    pub products: Vec<Uuid>,
}

impl From<CancelReason> for Cancellation {
    fn from(reason: CancelReason) -> Self {
        Self { reason, products: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_words_are_those_that_are_stored() {
        for reason in CancelReason::ALL {
            let stored = serde_json::to_value(reason).unwrap();
            assert_eq!(stored, reason.as_str());
            assert_eq!(serde_json::from_value::<CancelReason>(stored).unwrap(), *reason);
        }
    }
}
