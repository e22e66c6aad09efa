//! Sales of each day (UTC) in each currency, of confirmed orders.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::{Asked, Page, PageRequest, Read, Shown};

/// A row of `read_model.daily_sales`.
#[derive(Debug, Clone)]
pub struct DailySalesRow {
    /// The day, in UTC.
    pub day: NaiveDate,
    /// The currency.
    pub currency: String,
    /// How many orders.
    pub orders: i64,
    /// How many units.
    pub units: i64,
    /// In minor units.
    pub revenue_minor: i64,
}

/// The orders that the days can be in; the currency breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DailySalesSort {
    /// Earliest first.
    DayAsc,
    /// Latest first.
    DayDesc,
}

/// A list of days.
#[derive(Debug, Clone)]
pub struct ListDailySales {
    /// From this day on.
    pub from: Option<NaiveDate>,
    /// Up to this day, inclusive.
    pub to: Option<NaiveDate>,
    /// Only in this currency.
    pub currency: Option<String>,
    /// Which partition.
    pub page_request: PageRequest<DailySalesSort>,
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
        let (from, to, currency) = (self.from, self.to, self.currency.as_deref());
        let total = if self.page_request.counts() {
            Some(
                sqlx::query_file_scalar!("sql/daily_sales/count.sql", from, to, currency)
                    .fetch_one(&mut *snapshot)
                    .await?,
            )
        } else {
            None
        };
        let (day, after) = self.page_request.after::<NaiveDate, String>()?;
        let (limit, offset) = (self.page_request.limit(), self.page_request.offset());
        let rows = match self.page_request.sort {
            DailySalesSort::DayAsc => {
                sqlx::query_file_as!(
                    DailySalesRow,
                    "sql/daily_sales/by_day_asc.sql",
                    from,
                    to,
                    currency,
                    day,
                    after,
                    limit,
                    offset
                )
                .fetch_all(snapshot)
                .await?
            }
            DailySalesSort::DayDesc => {
                sqlx::query_file_as!(
                    DailySalesRow,
                    "sql/daily_sales/by_day_desc.sql",
                    from,
                    to,
                    currency,
                    day,
                    after,
                    limit,
                    offset
                )
                .fetch_all(snapshot)
                .await?
            }
        };
        Ok(self.page_request.page(rows, total).into())
    }
}
