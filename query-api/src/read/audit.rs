//! Questions for who did what: the origin of every event.

use chrono::{DateTime, Utc};
use postgres_kit::arguments;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::table::{ListOf, Sorted, count, sorted};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.audit`.
    #[derive(Debug, Clone)]
    pub struct AuditRow {
        /// The event's id.
        pub id: Uuid,
        /// The time of the append.
        pub recorded_at: DateTime<Utc>,
        /// What happened, such as `order.confirmed`.
        pub event_type: String,
        /// What it happened to: the category and the id, such as `order-0190…`.
        pub stream: String,
        /// Who acted: `anonymous`, `user:ID` or `system:NAME`. `None` if the event does not say.
        pub principal: Option<String>,
        /// The id of the session or API key that proved it.
        pub credential_id: Option<Uuid>,
        /// The client that acted for the principal.
        pub client: Option<String>,
        /// The id of the business flow.
        pub correlation_id: Uuid,
        /// The id of the command or event that directly caused this one.
        pub causation_id: Option<Uuid>,
        /// The event's position in the log.
        pub position: i64,
    }
}

/// The sorts of the list. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditSort {
    /// Oldest first.
    RecordedAtAsc,
    /// Newest first.
    RecordedAtDesc,
}

/// The filter by principal, credential, event type, stream, and the first and last time.
const FILTER: &str = "($1::text IS NULL OR principal = $1)
    AND ($2::uuid IS NULL OR credential_id = $2)
    AND ($3::text IS NULL OR event_type = $3) AND ($4::text IS NULL OR stream = $4)
    AND ($5::timestamptz IS NULL OR recorded_at >= $5)
    AND ($6::timestamptz IS NULL OR recorded_at <= $6)";
const COUNT: &str = count!("audit", FILTER);
/// The statements of a list sorted by time.
const BY_RECORDED_AT: Sorted<AuditRow, DateTime<Utc>, Uuid> =
    sorted!(AuditRow in "audit", FILTER[6], recorded_at: timestamptz, id: uuid);

/// The question for a page of who did what.
#[derive(Debug, Clone)]
pub struct ListAudit {
    /// Only what this principal did.
    pub principal: Option<String>,
    /// Only what was done with this session or API key.
    pub credential_id: Option<Uuid>,
    /// Only events of this type.
    pub event_type: Option<String>,
    /// Only events of this stream.
    pub stream: Option<String>,
    /// Only events from this time on, inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Only events up to this time, inclusive.
    pub to: Option<DateTime<Utc>>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<AuditSort>,
}

impl AuditRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
    pub fn key(&self, sort: AuditSort) -> Value {
        match sort {
            AuditSort::RecordedAtAsc | AuditSort::RecordedAtDesc => {
                json!([self.recorded_at, self.id])
            }
        }
    }
}

impl Read for ListAudit {
    type Answer = Page<AuditRow>;
    reads!("audit");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("audit", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { principal, credential_id, event_type, stream, from, to, page_request } = self;
        let filters = arguments![principal, credential_id, event_type, stream, from, to]?;
        let list = ListOf { count: COUNT, filters, page_request };
        let page = match page_request.sort {
            AuditSort::RecordedAtAsc => list.page(snapshot, &BY_RECORDED_AT.ascending).await?,
            AuditSort::RecordedAtDesc => list.page(snapshot, &BY_RECORDED_AT.descending).await?,
        };
        Ok(page.into())
    }
}
