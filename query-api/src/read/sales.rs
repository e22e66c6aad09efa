//! Questions for daily sales (UTC) per currency, over confirmed orders.

use chrono::NaiveDate;
use postgres_kit::macros::argument;
use postgres_kit::{TableRow as _, arguments};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::past::AsOf;
use super::table::{ListOf, PageOf, Sorted, count, sorted};
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

/// The filter by first day, last day and currency.
const FILTER: &str = "($1::date IS NULL OR day >= $1) AND ($2::date IS NULL OR day <= $2)
    AND ($3::text IS NULL OR currency = $3)";
const COUNT: &str = count!("daily_sales", FILTER);
/// The statements of a list sorted by day.
const BY_DAY: Sorted<DailySalesRow, NaiveDate, String> =
    sorted!(DailySalesRow in "daily_sales", FILTER[3], day: date, currency: text);

/// Builds the statement of a page of days as of a moment, in one direction: of each day that there
/// is now, the last past row of that moment.
macro_rules! as_of {
    ($moment:literal $comes_after:literal $way:literal) => {
        PageOf::new(postgres_kit::sql!(
            "SELECT ",
            DailySalesRow::COLUMNS,
            DAYS,
            " AND ($5::date IS NULL OR (day, currency) ",
            $comes_after,
            " ($5, $6::text))",
            PAST,
            $moment,
            " LIMIT 1) AS past ORDER BY of_day ",
            $way,
            ", of_currency ",
            $way,
            " LIMIT $7 OFFSET $8"
        ))
    };
}

/// Builds the statements of a list of days as of a moment, and the one that counts them.
macro_rules! days_as_of {
    ($moment:literal) => {
        (
            Sorted { ascending: as_of!($moment ">" "ASC"), descending: as_of!($moment "<" "DESC") },
            postgres_kit::sql!("SELECT count(*)", DAYS, PAST, $moment, " LIMIT 1) AS past"),
        )
    };
}

type Days = (Sorted<DailySalesRow, NaiveDate, String>, &'static str);

const DAYS: &str = postgres_kit::sql!(
    " FROM (SELECT day AS of_day, currency AS of_currency FROM read_model.daily_sales WHERE ",
    FILTER
);
const PAST: &str = postgres_kit::sql!(
    ") AS days CROSS JOIN LATERAL (SELECT ",
    DailySalesRow::COLUMNS,
    " FROM read_model.daily_sales_history WHERE day = of_day AND currency = of_currency AND "
);
const AT_POSITION: Days = days_as_of!("position <= $4 ORDER BY position DESC");
const AT_TIME: Days = days_as_of!("event_at <= $4 ORDER BY event_at DESC, position DESC");

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
        let mut filters = arguments![from, to, currency]?;
        let (by_day, count) = match as_of {
            None => (&BY_DAY, COUNT),
            Some(AsOf::Position(position)) => {
                argument(&mut filters, *position)?;
                (&AT_POSITION.0, AT_POSITION.1)
            }
            Some(AsOf::Time(time)) => {
                argument(&mut filters, *time)?;
                (&AT_TIME.0, AT_TIME.1)
            }
        };
        let list = ListOf { count, filters, page_request };
        let page = match page_request.sort {
            DailySalesSort::DayAsc => list.page(snapshot, &by_day.ascending).await?,
            DailySalesSort::DayDesc => list.page(snapshot, &by_day.descending).await?,
        };
        Ok(page.into())
    }
}
