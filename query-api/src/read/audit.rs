//! Questions for who did what: the origin of every event.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::statement::Conditions;
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

/// The statements of a list sorted by time.
const BY_RECORDED_AT: Sorted<AuditRow, DateTime<Utc>, Uuid> =
    sorted!(AuditRow in "audit" [6], recorded_at: timestamptz, id: uuid);

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
        let conditions = Conditions::default()
            .when(principal.as_ref(), " AND principal = $1")?
            .when(*credential_id, " AND credential_id = $2")?
            .when(event_type.as_ref(), " AND event_type = $3")?
            .when(stream.as_ref(), " AND stream = $4")?
            .when(*from, " AND recorded_at >= $5")?
            .when(*to, " AND recorded_at <= $6")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            AuditSort::RecordedAtAsc => list.page(snapshot, &BY_RECORDED_AT.ascending).await,
            AuditSort::RecordedAtDesc => list.page(snapshot, &BY_RECORDED_AT.descending).await,
        }
    }
}
