//! Daily sales.

use access::Permission;
use async_graphql::{Context, Enum, InputObject, Object, Result, SimpleObject};
use chrono::NaiveDate;
use graphql_kit::{AtOnce, Prompt};
use serde::Serialize;
use serde_json::Value;
use service_kit::Problem;

use super::asking::{Answer, Asking};
use super::connection::{Connection, Listed, Wanted};
use super::money::{Money, money};
use super::scalar::Date;
use crate::filter;
use crate::page::PageRequest;
use crate::read::sales::{DailySalesRow, DailySalesSort, ListDailySales};

/// The sales of a day in one currency.
pub(super) struct DailySales(pub(super) DailySalesRow);

/// What tells the sales of a day from others.
#[derive(SimpleObject)]
pub(super) struct DailySalesKey {
    /// The day, in UTC.
    day: Date,
    /// The code of the currency.
    currency: String,
}

impl DailySalesKey {
    /// That of a row.
    pub(super) fn of(row: &DailySalesRow) -> Self {
        Self { day: Date(row.day), currency: row.currency.clone() }
    }
}

/// The sorts of a list of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Enum)]
#[graphql(name = "DailySalesSort", remote = "DailySalesSort")]
pub(super) enum SortDays {
    /// Earliest day first.
    DayAsc,
    /// Latest day first.
    DayDesc,
}

/// Which days a list has.
#[derive(Debug, Default, Serialize, InputObject)]
pub(super) struct DailySalesFilter {
    /// Only days from this one on, inclusive.
    from: Option<Date>,
    /// Only days up to this one, inclusive; not before `from`.
    to: Option<Date>,
    /// Only sales in this currency. It may be any that ISO 4217 lists or once listed.
    currency: Option<String>,
}

impl DailySalesFilter {
    /// The filter, if some day can match it.
    ///
    /// # Errors
    /// The arguments that are not valid.
    pub(super) fn checked(self) -> Result<Self, Problem> {
        let [from, to] = self.days();
        let days = filter::days(from, to);
        let currency = self.currency.as_deref().map_or(Ok(()), filter::currency);
        let errors: Vec<_> = [days, currency].into_iter().filter_map(Result::err).collect();
        if errors.is_empty() {
            return Ok(self);
        }
        Err(Problem::invalid(errors).moved(|pointer| format!("/filter{pointer}")))
    }

    /// The first and the last day.
    fn days(&self) -> [Option<NaiveDate>; 2] {
        [&self.from, &self.to].map(|day| day.as_ref().map(|Date(day)| *day))
    }

    /// The question for a page of these days.
    pub(super) fn question(self, page_request: PageRequest<DailySalesSort>) -> ListDailySales {
        let [from, to] = self.days();
        ListDailySales { from, to, currency: self.currency, as_of: None, page_request }
    }
}

#[derive(Default)]
pub(super) struct SalesQuery;

#[Object]
impl SalesQuery {
    /// The sales of each day.
    async fn sales(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The maximum number of days: 1 to 100. The default is 20.")] first: Option<
            i32,
        >,
        #[graphql(desc = "The cursor that the page starts after.")] after: Option<String>,
        filter: Option<DailySalesFilter>,
        #[graphql(default_with = "SortDays::DayDesc")] sort: SortDays,
    ) -> Answer<AtOnce<Connection<DailySales>>> {
        let answer = async {
            let asking = ctx.data::<Asking>()?;
            asking.everything(Permission::SalesRead)?;
            let filter = filter.unwrap_or_default().checked();
            let filter = filter.map_err(|problem| asking.failure(&problem))?;
            let list = ("sales", &(&filter, sort));
            let wanted = Wanted::read(asking, list, sort.into(), (first, after.as_deref()))?;
            let page = asking.ask(filter.question(wanted.request.clone())).await?;
            Ok(Some(wanted.connection(page, DailySales)))
        };
        answer.await.transpose()
    }
}

impl Prompt for DailySales {}

impl Listed for DailySales {
    type Sort = DailySalesSort;

    fn key(&self, sort: DailySalesSort) -> Value {
        self.0.key(sort)
    }
}

/// The sales of one day in one currency. Everything about an order counts on the day of its sale:
/// the original date of an imported order, otherwise the day of the confirmation. So a later
/// cancellation or refund changes that day.
#[Object]
impl DailySales {
    /// The day, in UTC.
    async fn day(&self) -> Date {
        Date(self.0.day)
    }

    /// The code of the currency.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// The number of confirmed orders that were not cancelled afterwards.
    async fn orders(&self) -> i64 {
        self.0.orders
    }

    /// The number of units in these orders.
    async fn units(&self) -> i64 {
        self.0.units
    }

    /// The gross revenue: what customers agreed to pay for these orders, after discounts and with
    /// tax.
    async fn revenue(&self) -> Money {
        money(self.0.revenue_minor, &self.0.currency)
    }

    /// What was refunded of these orders.
    async fn refunded(&self) -> Money {
        money(self.0.refunded_minor, &self.0.currency)
    }

    /// The net revenue: `revenue` less `refunded`.
    async fn net(&self) -> Money {
        money(self.0.revenue_minor.saturating_sub(self.0.refunded_minor), &self.0.currency)
    }

    /// All payments for orders of the day, also for those that were cancelled afterwards.
    async fn paid(&self) -> Money {
        money(self.0.paid_minor, &self.0.currency)
    }

    /// All refunds of orders of the day, also of those that were cancelled.
    async fn paid_back(&self) -> Money {
        money(self.0.paid_back_minor, &self.0.currency)
    }
}
