//! `audit`: one row per event: what happened, for whom, with which credential and through which
//! client. It takes them from the metadata of the events and reads no payload.

use chrono::{DateTime, Utc};
use event_store::RecordedEvent;
use projection::{Incoming, Projection, Reason, Split, row};
use serde::Serialize;
use uuid::Uuid;

/// The projection of who did what.
pub struct Audit;

/// The origin of an event.
#[derive(Debug, Clone)]
pub struct Origin {
    event_id: Uuid,
    event_type: String,
    stream: String,
    principal: Option<String>,
    credential_id: Option<Uuid>,
    client: Option<String>,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
}

row! {
    /// A row of `audit`.
    #[derive(Debug, Clone, Serialize)]
    pub struct AuditRow in audit by (id: Uuid) {
        recorded_at: DateTime<Utc>,
        event_type: String,
        stream: String,
        principal: Option<String>,
        credential_id: Option<Uuid>,
        client: Option<String>,
        correlation_id: Uuid,
        causation_id: Option<Uuid>,
        position: i64,
    }
}

impl Projection for Audit {
    const NAME: &'static str = "audit";
    const FOLD_VERSION: i32 = 1;
    const TABLES: &'static str = include_str!("audit/tables.sql");
    const INDEXES: &'static str = include_str!("audit/indexes.sql");
    const SPLIT: Split = Split::Never(
        "it is read in the order of the log: an event would be seen before those that led to it",
    );
    type Event = Origin;
    type Key = Uuid;
    type Row = AuditRow;

    fn handles() -> Vec<&'static str> {
        domain::history::current().map(|(event_type, _)| event_type).collect()
    }

    fn read(event: &RecordedEvent) -> Option<Result<Origin, Reason>> {
        let metadata = &event.metadata;
        Some(Ok(Origin {
            event_id: event.id,
            event_type: event.event_type.as_str().to_owned(),
            stream: event.stream.to_string(),
            principal: metadata.actor.clone(),
            credential_id: metadata.credential_id,
            client: metadata.client_id.clone(),
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
        }))
    }

    fn keys(origin: &Origin) -> Vec<Uuid> {
        vec![origin.event_id]
    }

    /// An event that an upcaster split has the type of its first fragment.
    fn fold(
        id: &Uuid,
        row: Option<AuditRow>,
        incoming: &Incoming<Origin>,
    ) -> Result<AuditRow, Reason> {
        let origin = &incoming.event;
        Ok(row.unwrap_or_else(|| AuditRow {
            id: *id,
            recorded_at: incoming.recorded_at,
            event_type: origin.event_type.clone(),
            stream: origin.stream.clone(),
            principal: origin.principal.clone(),
            credential_id: origin.credential_id,
            client: origin.client.clone(),
            correlation_id: origin.correlation_id,
            causation_id: origin.causation_id,
            position: incoming.position.0,
        }))
    }
}
