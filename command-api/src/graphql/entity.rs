//! The entities that mutations change, by id. The query API resolves their fields.

use async_graphql::{ID, SimpleObject};
use uuid::Uuid;

/// A resource that payloads name by id.
pub(super) trait Entity {
    /// The resource with this id.
    fn of(id: Uuid) -> Self;
}

macro_rules! entities {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(SimpleObject)]
            #[graphql(unresolvable = "id")]
            pub(super) struct $name {
                /// The id: a UUID.
                id: ID,
            }

            impl Entity for $name {
                fn of(id: Uuid) -> Self {
                    Self { id: id.into() }
                }
            }
        )+
    };
}

entities! {
    /// A user, who may order.
    User,
    /// A product.
    Product,
    /// An order.
    Order,
}
