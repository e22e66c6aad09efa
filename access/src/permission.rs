//! Permissions: kinds of acts on kinds of resources.

use std::fmt;
use std::str::FromStr;

/// Makes the enum, the list of all and the texts of one list.
macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A kind of act on a kind of resource. The text form, such as `orders:write`, is in tokens
        /// and in the record of roles, so it is permanent.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Permission {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Permission {
            /// All permissions.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The text form.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

permissions! {
    /// Read users.
    UsersRead = "users:read",
    /// Register and change users.
    UsersWrite = "users:write",
    /// Deactivate and reactivate users.
    UsersDelete = "users:delete",
    /// Say what type of customer users are.
    UsersClassify = "users:classify",
    /// Erase the personal data of users for good.
    UsersErase = "users:erase",
    /// Read orders.
    OrdersRead = "orders:read",
    /// Place, change, confirm and cancel orders.
    OrdersWrite = "orders:write",
    /// Record that orders are paid, shipped, delivered or refunded.
    OrdersFulfil = "orders:fulfil",
    /// Read products.
    ProductsRead = "products:read",
    /// Add and change products and their stock.
    ProductsWrite = "products:write",
    /// Read sales and other figures of the business.
    SalesRead = "sales:read",
    /// Import the orders of another system.
    ImportWrite = "import:write",
    /// Rebuild, verify, pause and switch projections.
    ProjectionsOperate = "projections:operate",
    /// Look at sagas, and retry, skip, give up, park and resume them.
    SagasOperate = "sagas:operate",
    /// Manage subscriptions of webhooks, their deliveries and replays.
    WebhooksOperate = "webhooks:operate",
    /// Let a subscription of webhooks have personal data in the clear.
    WebhooksPersonal = "webhooks:personal",
    /// Begin epochs of the log.
    LogOperate = "log:operate",
    /// Read who did what.
    AuditRead = "audit:read",
    /// Grant and revoke roles, and end others' sessions and API keys.
    AccessManage = "access:manage",
}

/// The error for a text that names no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such permission")]
pub struct InvalidPermission;

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = InvalidPermission;

    fn from_str(text: &str) -> Result<Self, InvalidPermission> {
        Self::ALL.iter().copied().find(|one| one.as_str() == text).ok_or(InvalidPermission)
    }
}
