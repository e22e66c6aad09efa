//! Anything with an id, for clients that refetch what they have seen (Relay's `node`).

use access::Permission;
use async_graphql::{Context, ID, Interface, Object};
use service_kit::input::Id;

use super::asking::{Answer, Asking};
use super::load::{OrderKey, ProductKey, UserKey};
use super::order::Order;
use super::product::Product;
use super::user::User;

/// Something with an id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The id: a UUID."))]
pub(super) enum Node {
    /// A product.
    Product(Product),
    /// A user.
    User(User),
    /// An order.
    Order(Order),
}

#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// What has this id; null if there is nothing, or not for the caller. Clients may choose the
    /// ids of what they make, so two things of different types may have the same. Then it is the
    /// product, else the user.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Answer<Node> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            // Who may read nothing of it is told so. Of the others, each sees what they may.
            if let (Err(refused), Err(_), Err(_)) = (
                asking.everything(Permission::ProductsRead),
                asking.scope(Permission::UsersRead),
                asking.scope(Permission::OrdersRead),
            ) {
                return Err(refused);
            }
            let Ok(id) = id.parse::<Id>().map(Id::get) else { return Ok(None) };
            let (product, user, order) = futures::try_join!(
                asking.load(ProductKey(id)),
                asking.load(UserKey(id)),
                asking.load(OrderKey(id)),
            )?;
            let product = product.map(|row| Node::Product(Product(row)));
            let user = || user.map(|row| Node::User(User(row)));
            let order = || order.map(|row| Node::Order(Order(row)));
            Ok(product.or_else(user).or_else(order))
        };
        answer.await.transpose()
    }
}
