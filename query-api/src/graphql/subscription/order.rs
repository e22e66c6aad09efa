//! Subscriptions to orders.

use access::Permission;
use async_graphql::{Context, ID, Result, Subscription};

use super::{EventStream, Start, Subscriber, event};
use crate::graphql::connection::Wanted;
use crate::graphql::order::{Order, OrderFilter, SortOrders};
use crate::live::{Event, Follow, matches};
use crate::read::order::{ListOrders, OrderRow};

event! {
    /// An event of orders that are followed.
    OrderEvent of Event<OrderRow> {
        /// The order as it is now.
        order: Order = |event| event.row.clone().map(Order),
        /// The id of the row that left the list.
        left: ID = |event| event.left.map(ID::from),
    }
}

#[derive(Default)]
pub(super) struct OrderSubscription;

#[Subscription]
impl OrderSubscription {
    /// Follows one order.
    async fn order(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<OrderEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.scope(Permission::OrdersRead)?;
        let start = Start { last_event_id, consistency_token };
        subscriber.follow_row::<OrderRow, _>(&id, (Permission::OrdersRead, scope), start).await
    }

    /// Follows the orders that the caller may see, from a first page of them.
    async fn orders(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of orders to begin with: 1 to 100. The default is 20.")]
        first: Option<i32>,
        filter: Option<OrderFilter>,
        #[graphql(default_with = "SortOrders::CreatedAtDesc")] sort: SortOrders,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<OrderEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.scope(Permission::OrdersRead)?;
        let failed = |problem| subscriber.failure(&problem);
        let (user_id, status) = filter.unwrap_or_default().read().map_err(failed)?;
        let list = ("orders", &(user_id, status, sort));
        let wanted = Wanted::first(list, sort.into(), first).map_err(failed)?;
        let status = status.map(|status| status.text().to_owned());
        let follow = Follow::list(scope, user_id, matches::orders(status.clone()));
        let page_request = wanted.request.clone();
        let question = ListOrders { scope, user_id, status, page_request };
        let ask = subscriber
            .api
            .ask_list(question, move |api, page| wanted.info(api, page, OrderRow::key));
        let start = Start { last_event_id, consistency_token };
        subscriber.follow((follow, ask), (Permission::OrdersRead, scope), start).await
    }
}
