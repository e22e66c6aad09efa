//! Questions for sagas.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::statement::Conditions;
use super::table::{Find, by_id};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.sagas`.
    #[derive(Debug, Clone)]
    pub struct SagaRow {
        /// The saga's id.
        pub id: Uuid,
        /// The kind of saga, such as `order_fulfilment`.
        pub saga: String,
        /// What it is about, such as the id of an order.
        pub key: String,
        /// The version of its steps.
        pub definition: i32,
        /// `running`, `compensating`, `completed`, `compensated` or `parked`.
        pub status: String,
        /// The latest step; `None` at the end.
        pub step: Option<String>,
        /// The number of attempts that failed.
        pub failures: i64,
        /// Why it is undone.
        pub reason: Option<String>,
        /// Why it is parked.
        pub parked_for: Option<String>,
        /// The time of its start.
        pub started_at: DateTime<Utc>,
        /// The time of its end; `None` before.
        pub ended_at: Option<DateTime<Utc>>,
        /// The time of the last change of the row.
        pub updated_at: DateTime<Utc>,
        /// The version of the saga's stream.
        pub version: i64,
        /// The position of the last event that changed the row.
        pub position: i64,
    }
}

by_id!(SagaRow in "sagas");

/// The question for one saga by its id.
pub type FindSaga = Find<SagaRow>;

/// The sorts of a list of sagas. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SagaSort {
    /// By start, oldest first.
    StartedAtAsc,
    /// By start, newest first.
    StartedAtDesc,
}

/// The pages of the list sorted by start.
const BY_STARTED_AT: Sorted<SagaRow, DateTime<Utc>, Uuid> =
    sorted!(SagaRow in "sagas" [2], started_at: timestamptz, id: uuid);

/// The question for a page of sagas.
#[derive(Debug, Clone)]
pub struct ListSagas {
    /// Only sagas with this status.
    pub status: Option<String>,
    /// Only sagas about this.
    pub key: Option<String>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<SagaSort>,
}

impl SagaRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn sort_key(&self, sort: SagaSort) -> Value {
        match sort {
            SagaSort::StartedAtAsc | SagaSort::StartedAtDesc => json!([self.started_at, self.id]),
        }
    }
}

impl Read for ListSagas {
    type Answer = Page<SagaRow>;
    reads!("sagas");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("sagas", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { status, key, page_request } = self;
        let conditions = Conditions::default()
            .when(status.as_ref(), " AND status = $1")?
            .when(key.as_ref(), " AND key = $2")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            SagaSort::StartedAtAsc => list.page(snapshot, &BY_STARTED_AT.ascending).await,
            SagaSort::StartedAtDesc => list.page(snapshot, &BY_STARTED_AT.descending).await,
        }
    }
}
