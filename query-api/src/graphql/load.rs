//! The rows below others: what one level of the answer needs, in one statement for each kind.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use access::Permission;
use async_graphql::dataloader::Loader;
use postgres_kit::Columns;
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
    /// The page. Those of several users are read together.
    pub(super) page: OrdersPage,
}

/// Which page of a user's orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct OrdersPage {
    /// Only orders with this status.
    pub(super) status: Option<&'static str>,
    /// The columns to read of each order.
    pub(super) columns: Columns,
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
        // Pages that differ in their columns alone are read once.
        let mut pages: HashMap<(Option<&str>, &PageRequest<OrderSort>), Vec<&OrdersKey>> =
            HashMap::new();
        for key in keys {
            pages.entry((key.page.status, &key.page.request)).or_default().push(key);
        }
        let mut found = HashMap::with_capacity(keys.len());
        for ((status, request), keys) in pages {
            let columns = keys.iter().fold(Columns::ID, |all, key| all.and(key.page.columns));
            let user_ids: BTreeSet<Uuid> = keys.iter().map(|key| key.user_id).collect();
            let mut of_users = HashMap::with_capacity(user_ids.len());
            for user_ids in Vec::from_iter(user_ids).chunks(MAX_IDS) {
                let question = ListOrdersOfUsers {
                    scope,
                    user_ids: user_ids.to_vec(),
                    status: status.map(str::to_owned),
                    columns,
                    page_request: request.clone(),
                };
                for (user_id, Page { rows, has_more, total }) in self.0.ask(question).await? {
                    let rows = rows.into_iter().map(Arc::new).collect();
                    of_users.insert(user_id, Arc::new(Page { rows, has_more, total }));
                }
            }
            let page_of = |key: &&OrdersKey| of_users.get(&key.user_id).cloned();
            found.extend(keys.iter().filter_map(|key| Some(((*key).clone(), page_of(key)?))));
        }
        Ok(found)
    }
}
