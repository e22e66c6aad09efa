//! Subscriptions to products.

use access::Permission;
use async_graphql::{Context, ID, Result, Subscription};

use super::{EventStream, Start, Subscriber, event};
use crate::graphql::connection::Wanted;
use crate::graphql::product::{Product, ProductFilter, SortProducts};
use crate::live::{Event, Follow, matches};
use crate::read::product::{ListProducts, ProductRow};

event! {
    /// An event of products that are followed.
    ProductEvent of Event<ProductRow> {
        /// The product as it is now.
        product: Product = |event| event.row.clone().map(Product),
        /// The id of the row that left the list.
        left: ID = |event| event.left.map(ID::from),
    }
}

#[derive(Default)]
pub(super) struct ProductSubscription;

#[Subscription]
impl ProductSubscription {
    /// Follows one product.
    async fn product(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<ProductEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.everything(Permission::ProductsRead)?;
        let start = Start { last_event_id, consistency_token };
        subscriber.follow_row::<ProductRow, _>(&id, (Permission::ProductsRead, scope), start).await
    }

    /// Follows all products, from a first page of them.
    async fn products(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of products to begin with: 1 to 100. The default is 20.")]
        first: Option<i32>,
        filter: Option<ProductFilter>,
        #[graphql(default_with = "SortProducts::CreatedAtDesc")] sort: SortProducts,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<ProductEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.everything(Permission::ProductsRead)?;
        let filter = filter.unwrap_or_default();
        let list = ("products", &(&filter, sort));
        let wanted = Wanted::first(list, sort.into(), first);
        let wanted = wanted.map_err(|problem| subscriber.failure(&problem))?;
        let follow = Follow::list(scope, None, matches::products(filter.name.clone()));
        let page_request = wanted.request.clone();
        let question = ListProducts { name: filter.name, page_request };
        let ask = subscriber
            .api
            .ask_list(question, move |api, page| wanted.info(api, page, ProductRow::key));
        let start = Start { last_event_id, consistency_token };
        subscriber.follow((follow, ask), (Permission::ProductsRead, scope), start).await
    }
}
