//! Sales of each day (UTC) in each currency, of confirmed orders.

use chrono::NaiveDate;
use postgres_kit::arguments;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::table::{ListOf, Sorted, count, sorted};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.daily_sales`.
    #[derive(Debug, Clone)]
    pub struct DailySalesRow {
        /// The day, in UTC.
        pub day: NaiveDate,
        /// The currency's code, such as `USD`.
        pub currency: String,
        /// How many orders.
        pub orders: i64,
        /// How many units.
        pub units: i64,
        /// In minor units.
        pub revenue_minor: i64,
    }
}

/// The orders that the days can be in; the currency breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DailySalesSort {
    /// Earliest first.
    DayAsc,
    /// Latest first.
    DayDesc,
}

/// The first day, the last day, and a currency.
const FILTER: &str = "($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2)
    AND ($3::text IS NULL OR currency = $3)";
const COUNT: &str = count!("daily_sales", FILTER);
/// Sorted by day.
pub const BY_DAY: Sorted<DailySalesRow, NaiveDate, String> =
    sorted!(DailySalesRow in "daily_sales", FILTER[3], day: date, currency: text);

/// A list of days.
#[derive(Debug, Clone)]
pub struct ListDailySales {
    /// From this day on.
    pub from: Option<NaiveDate>,
    /// Up to this day, inclusive.
    pub to: Option<NaiveDate>,
    /// Only in this currency.
    pub currency: Option<String>,
    /// Which page, in which order.
    pub page_request: PageRequest<DailySalesSort>,
}

impl DailySalesRow {
    /// Where a list in this sort goes on after the row: the columns that it is sorted by.
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
        let Self { from, to, currency, page_request } = self;
        let list = ListOf { count: COUNT, filters: arguments![from, to, currency]?, page_request };
        let page = match page_request.sort {
            DailySalesSort::DayAsc => list.page(snapshot, &BY_DAY.ascending).await?,
            DailySalesSort::DayDesc => list.page(snapshot, &BY_DAY.descending).await?,
        };
        Ok(page.into())
    }
}
