//! Who did what, in the form that clients see.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::read::audit::AuditRow;

/// Who did something: the origin of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEntry {
    /// The event's id.
    id: Uuid,
    /// The event's position in the log.
    position: i64,
    /// The time when it was recorded.
    recorded_at: DateTime<Utc>,
    /// What happened.
    #[schema(example = "order.confirmed")]
    event_type: String,
    /// What it happened to: the kind of thing and its id.
    #[schema(example = "order-0190b3a2-0000-7000-8000-000000000003")]
    stream: String,
    /// Who acted: `anonymous`, `user:ID` or `system:NAME`. Null if the event does not say.
    #[schema(required = true, example = "user:0190b3a2-0000-7000-8000-000000000001")]
    principal: Option<String>,
    /// The id of the session or API key that proved it. Null if there was none.
    #[schema(required = true)]
    credential_id: Option<Uuid>,
    /// The client that acted for the principal. Null if it is not known.
    #[schema(required = true, example = "storefront")]
    client: Option<String>,
    /// The id of the business flow that it belongs to.
    correlation_id: Uuid,
    /// The id of the command or event that directly caused it. Null if it is not known.
    #[schema(required = true)]
    causation_id: Option<Uuid>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            position: row.position,
            recorded_at: row.recorded_at,
            event_type: row.event_type,
            stream: row.stream,
            principal: row.principal,
            credential_id: row.credential_id,
            client: row.client,
            correlation_id: row.correlation_id,
            causation_id: row.causation_id,
        }
    }
}
