//! Questions for the funnel of orders: how many of those placed on a day took each step.

use chrono::NaiveDate;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::list::{ListOf, Sorted, sorted};
use super::statement::Conditions;
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.order_funnel_days`. It counts the orders placed on the day.
    #[derive(Debug, Clone)]
    pub struct FunnelDayRow {
        /// The day, in UTC.
        pub day: NaiveDate,
        /// The number of orders.
        pub placed: i64,
        /// The number of those that were confirmed.
        pub confirmed: i64,
        /// The number of those that were paid.
        pub paid: i64,
        /// The number of those that were shipped.
        pub shipped: i64,
        /// The number of those that were delivered.
        pub delivered: i64,
        /// The number of those that were cancelled, after whichever step.
        pub cancelled: i64,
        /// The milliseconds from the placement to the confirmation, over all confirmed ones.
        pub confirm_ms: i64,
        /// The milliseconds from the confirmation to the payment, over all paid ones.
        pub pay_ms: i64,
        /// The milliseconds from the payment to the shipment, over all shipped ones.
        pub ship_ms: i64,
        /// The milliseconds from the shipment to the delivery, over all delivered ones.
        pub deliver_ms: i64,
    }
}

/// The sorts of a list of days. Each day is there once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunnelSort {
    /// Earliest day first.
    DayAsc,
    /// Latest day first.
    DayDesc,
}

/// The statements of a list sorted by day.
const BY_DAY: Sorted<FunnelDayRow, NaiveDate, NaiveDate> =
    sorted!(FunnelDayRow in "order_funnel": "order_funnel_days" [2], day: date, day: date);

/// The question for a page of the funnel.
#[derive(Debug, Clone)]
pub struct ListFunnel {
    /// Only days from this one on, inclusive.
    pub from: Option<NaiveDate>,
    /// Only days up to this one, inclusive.
    pub to: Option<NaiveDate>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<FunnelSort>,
}

impl FunnelDayRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: FunnelSort) -> Value {
        match sort {
            FunnelSort::DayAsc | FunnelSort::DayDesc => json!([self.day, self.day]),
        }
    }
}

impl Read for ListFunnel {
    type Answer = Page<FunnelDayRow>;
    reads!("order_funnel");

    fn shown(_: &Self::Answer) -> Shown {
        Shown::sums("order_funnel")
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { from, to, page_request } = self;
        let conditions =
            Conditions::default().when(*from, " AND day >= $1")?.when(*to, " AND day <= $2")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            FunnelSort::DayAsc => list.page(snapshot, &BY_DAY.ascending).await,
            FunnelSort::DayDesc => list.page(snapshot, &BY_DAY.descending).await,
        }
    }
}
