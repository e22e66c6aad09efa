//! The subscription to daily sales.

use access::Permission;
use async_graphql::{Context, Result, Subscription};

use super::{EventStream, Start, Subscriber, event};
use crate::graphql::connection::Wanted;
use crate::graphql::sales::{DailySales, DailySalesFilter, DailySalesKey, SortDays};
use crate::live::PageEvent;
use crate::read::Read as _;
use crate::read::sales::{DailySalesRow, ListDailySales};

event! {
    /// An event of a page of daily sales that is followed.
    DailySalesEvent of PageEvent<DailySalesRow> {
        /// The sales of a day as they are now.
        sales: DailySales = |event| event.row.as_ref().map(|row| DailySales(row.body.clone())),
        /// The day that left the page.
        left: DailySalesKey = |event| event.left.as_ref().map(|row| DailySalesKey::of(&row.body)),
    }
}

#[derive(Default)]
pub(super) struct SalesSubscription;

#[Subscription]
impl SalesSubscription {
    /// Follows the first page of the sales of each day. It is read again after it may have changed,
    /// at most once a second.
    async fn sales(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of days of the page: 1 to 100. The default is 20.")]
        first: Option<i32>,
        filter: Option<DailySalesFilter>,
        #[graphql(default_with = "SortDays::DayDesc")] sort: SortDays,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<DailySalesEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        subscriber.everything(Permission::SalesRead)?;
        let failed = |problem| subscriber.failure(&problem);
        let filter = filter.unwrap_or_default().checked().map_err(failed)?;
        let wanted = Wanted::first(("sales", &(&filter, sort)), sort.into(), first);
        let wanted = wanted.map_err(failed)?;
        let page_request = wanted.request.clone();
        let request = format!("sales {filter:?} {sort:?} {}", page_request.size);
        let question = filter.question(page_request);
        let ask = subscriber.api.ask_page(
            question,
            move |api, page| wanted.info(api, page, DailySalesRow::key),
            Ok,
            move |row: &DailySalesRow| row.key(sort.into()),
        );
        let page = (request, ListDailySales::PROJECTIONS[0], ask);
        let start = Start { last_event_id, consistency_token };
        subscriber.follow_page(page, Permission::SalesRead, start).await
    }
}
