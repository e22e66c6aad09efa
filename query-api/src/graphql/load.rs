//! The rows below others: what one level of the answer needs, in one statement for each kind.

use std::collections::HashMap;
use std::sync::Arc;

use access::Permission;
use async_graphql::dataloader::Loader;
use uuid::Uuid;

use super::asking::{Shared, Unanswered};
use crate::page::{Page, PageRequest};
use crate::read::order::{ListOrdersOfUsers, OrderRow, OrderSort};
use crate::read::product::ProductRow;
use crate::read::table::MAX_IDS;
use crate::read::user::UserRow;

/// Loads the rows of one request in its snapshot.
pub(super) struct Rows(pub(super) Arc<Shared>);

macro_rules! rows_by_id {
    ($($(#[doc = $doc:literal])+ $Key:ident of $Row:ident, with $permission:ident;)+) => {
        $(
            $(#[doc = $doc])+
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
            pub(super) struct $Key(pub(super) Uuid);

            impl Loader<$Key> for Rows {
                type Value = Arc<$Row>;
                type Error = Unanswered;

                async fn load(
                    &self,
                    keys: &[$Key],
                ) -> Result<HashMap<$Key, Arc<$Row>>, Unanswered> {
                    let ids = keys.iter().map(|key| key.0).collect();
                    let rows = self.0.find_many::<$Row>(ids, Permission::$permission).await?;
                    Ok(rows.into_iter().map(|row| ($Key(row.id), Arc::new(row))).collect())
                }
            }
        )+
    };
}

rows_by_id! {
    // One line each.
    /// The id of a user.
    UserKey of UserRow, with UsersRead;
    /// The id of an order.
    OrderKey of OrderRow, with OrdersRead;
    /// The id of a product.
    ProductKey of ProductRow, with ProductsRead;
}

/// A page of one user's orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OrdersKey {
    /// The id of the user.
    pub(super) user_id: Uuid,
    /// What the pages of several users may have in common.
    pub(super) page: OrdersPage,
}

/// Which page of a user's orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OrdersPage {
    /// Only orders with this status.
    pub(super) status: Option<&'static str>,
    /// Whether brief rows have all that is asked for: see [`OrderRow::brief`].
    pub(super) is_brief: bool,
    /// The page to read, and its sort.
    pub(super) request: PageRequest<OrderSort>,
}

impl Loader<OrdersKey> for Rows {
    type Value = Arc<Page<Arc<OrderRow>>>;
    type Error = Unanswered;

    async fn load(
        &self,
        keys: &[OrdersKey],
    ) -> Result<HashMap<OrdersKey, Self::Value>, Unanswered> {
        // Who may not read orders sees none.
        let Ok(scope) = self.0.scope(Permission::OrdersRead) else { return Ok(HashMap::new()) };
        let mut users: HashMap<&OrdersPage, Vec<Uuid>> = HashMap::new();
        for OrdersKey { user_id, page } in keys {
            users.entry(page).or_default().push(*user_id);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for (page, user_ids) in users {
            for user_ids in user_ids.chunks(MAX_IDS) {
                let question = ListOrdersOfUsers {
                    scope,
                    user_ids: user_ids.to_vec(),
                    status: page.status.map(str::to_owned),
                    is_brief: page.is_brief,
                    page_request: page.request.clone(),
                };
                for (user_id, Page { rows, has_more, total }) in self.0.ask(question).await? {
                    let rows = rows.into_iter().map(Arc::new).collect();
                    let key = OrdersKey { user_id, page: page.clone() };
                    found.insert(key, Arc::new(Page { rows, has_more, total }));
                }
            }
        }
        Ok(found)
    }
}
