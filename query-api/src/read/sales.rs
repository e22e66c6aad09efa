//! Questions for daily sales (UTC) per currency, over confirmed orders.

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::list::{ListOf, Sorted, sorted};
use super::past::AsOf;
use super::statement::Conditions;
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.daily_sales`.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub struct DailySalesRow {
        /// The day, in UTC.
        pub day: NaiveDate,
        /// The currency's code, such as `USD`.
        pub currency: String,
        /// The number of confirmed orders that were not cancelled afterwards.
        pub orders: i64,
        /// The number of units in these orders.
        pub units: i64,
        /// The gross revenue of these orders, in minor units of the currency.
        pub revenue_minor: i64,
        /// All payments for orders of the day, in minor units of the currency.
        pub paid_minor: i64,
        /// What was refunded of the orders that count, in minor units of the currency.
        pub refunded_minor: i64,
        /// All refunds of orders of the day, also of cancelled ones, in minor units.
        pub paid_back_minor: i64,
    }
}

/// The sorts of a list of days. The currency breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DailySalesSort {
    /// Earliest day first.
    DayAsc,
    /// Latest day first.
    DayDesc,
}

/// The statements of a list sorted by day.
const BY_DAY: Sorted<DailySalesRow, NaiveDate, String> =
    sorted!(DailySalesRow in "daily_sales" [3], day: date, currency: text);

/// The same of days as of the moment `$4`.
const BY_DAY_AS_OF: Sorted<DailySalesRow, NaiveDate, String> =
    sorted!(DailySalesRow in "daily_sales" [4], day: date, currency: text);

/// The columns besides the day and the currency.
const SUMS: &str = "orders, units, revenue_minor, paid_minor, refunded_minor, paid_back_minor";

/// Builds the source of days as of a moment: for each day in the table, its last past row as of
/// that moment.
macro_rules! days_as_of {
    ($moment:literal) => {
        postgres_kit::sql!(
            " FROM (SELECT day, currency FROM read_model.daily_sales) AS days",
            " CROSS JOIN LATERAL (SELECT ",
            SUMS,
            " FROM read_model.daily_sales_history AS past_of WHERE past_of.day = days.day
                AND past_of.currency = days.currency AND ",
            $moment,
            " LIMIT 1) AS past WHERE true"
        )
    };
}

const AT_POSITION: &str = days_as_of!("position <= $4 ORDER BY position DESC");
const AT_TIME: &str = days_as_of!("event_at <= $4 ORDER BY event_at DESC, position DESC");

/// The question for a page of daily sales.
#[derive(Debug, Clone)]
pub struct ListDailySales {
    /// Only days from this one on, inclusive.
    pub from: Option<NaiveDate>,
    /// Only days up to this one, inclusive.
    pub to: Option<NaiveDate>,
    /// Only sales in this currency.
    pub currency: Option<String>,
    /// The days as they were at this moment, and not as they are.
    pub as_of: Option<AsOf>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<DailySalesSort>,
}

impl DailySalesRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: DailySalesSort) -> Value {
        match sort {
            DailySalesSort::DayAsc | DailySalesSort::DayDesc => json!([self.day, self.currency]),
        }
    }
}

impl Read for ListDailySales {
    type Answer = Page<DailySalesRow>;
    reads!("daily_sales");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list(
            "daily_sales",
            answer.rows.iter().map(|row| format!("{}/{}", row.day, row.currency)),
        )
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { from, to, currency, as_of, page_request } = self;
        let conditions = Conditions::default()
            .when(*from, " AND day >= $1")?
            .when(*to, " AND day <= $2")?
            .when(currency.as_ref(), " AND currency = $3")?;
        let (conditions, days) = match *as_of {
            None => (conditions, None),
            Some(AsOf::Position(position)) => (conditions.with(position)?, Some(AT_POSITION)),
            Some(AsOf::Time(time)) => (conditions.with(time)?, Some(AT_TIME)),
        };
        let by_day = match (page_request.sort, days) {
            (DailySalesSort::DayAsc, None) => BY_DAY.ascending,
            (DailySalesSort::DayDesc, None) => BY_DAY.descending,
            (DailySalesSort::DayAsc, Some(days)) => BY_DAY_AS_OF.ascending.of(days),
            (DailySalesSort::DayDesc, Some(days)) => BY_DAY_AS_OF.descending.of(days),
        };
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        list.page(snapshot, &by_day).await
    }
}
