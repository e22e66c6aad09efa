//! Questions for customers at risk: those whose next order is due.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::statement::Conditions;
use super::user::SumsMinor;
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.customers_at_risk`.
    #[derive(Debug, Clone)]
    pub struct CustomerRow {
        /// The user's id.
        pub id: Uuid,
        /// The number of confirmed orders that were not cancelled afterwards.
        pub order_count: i64,
        /// The gross total of these orders, by currency.
        pub total_spent: Json<SumsMinor>,
        /// What was refunded of these orders, by currency.
        pub total_refunded: Json<SumsMinor>,
        /// The first date of a confirmed order, also if it was cancelled afterwards.
        pub first_order_at: Option<DateTime<Utc>>,
        /// The latest date of a confirmed order, also if it was cancelled afterwards.
        pub last_order_at: Option<DateTime<Utc>>,
        /// The time when the next order would be usual. `None` before the first one.
        pub due_at: Option<DateTime<Utc>>,
    }
}

/// The sorts of the list. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerSort {
    /// Longest overdue first.
    DueAtAsc,
    /// Due last first.
    DueAtDesc,
}

/// The statements of a list sorted by when the next order is due: of users who can order and have
/// ordered.
const BY_DUE_AT: Sorted<CustomerRow, DateTime<Utc>, Uuid> = sorted!(
    CustomerRow in "customers_at_risk" if "is_active AND due_at IS NOT NULL" [1],
    due_at: timestamptz, id: uuid
);

/// The question for a page of customers at risk.
#[derive(Debug, Clone)]
pub struct ListCustomersAtRisk {
    /// Only those whose next order is due before this time.
    pub due_before: Option<DateTime<Utc>>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<CustomerSort>,
}

impl CustomerRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: CustomerSort) -> Value {
        match sort {
            CustomerSort::DueAtAsc | CustomerSort::DueAtDesc => json!([self.due_at, self.id]),
        }
    }
}

impl Read for ListCustomersAtRisk {
    type Answer = Page<CustomerRow>;
    reads!("customers_at_risk");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("customers_at_risk", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { due_before, page_request } = self;
        let conditions = Conditions::default().when(*due_before, " AND due_at < $1")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            CustomerSort::DueAtAsc => list.page(snapshot, &BY_DUE_AT.ascending).await,
            CustomerSort::DueAtDesc => list.page(snapshot, &BY_DUE_AT.descending).await,
        }
    }
}
