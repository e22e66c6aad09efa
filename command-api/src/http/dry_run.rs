//! The answer to a dry run: what a command would append, and whether it could.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use service_kit::{Envelope, Meta, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::received::About;
use crate::application::idempotency::{Answer, Part};
use crate::application::{DryRun, Input};

/// The result of a dry run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub(super) struct DryRunData {
    /// Always true, to tell a dry run from a real answer.
    dry_run: bool,
    /// The id of the resource that would change. A resource that would be created gets another id
    /// when it really is.
    id: Uuid,
    /// The id of the order line that would be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line_id: Option<Uuid>,
    /// The id of the address that would be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    address_id: Option<Uuid>,
    /// The events that would be appended, in order.
    events: Vec<DryRunEvent>,
}

/// An event that would be appended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRunEvent {
    /// The stream that the event would be appended to.
    stream: String,
    /// The type of the event.
    r#type: String,
    /// The version of the payload's shape.
    schema_version: i32,
    /// The payload of the event.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl Api {
    /// Decides a command without carrying it out. Answers 200 with what it would do. If a
    /// requirement of the append does not hold now, the answer is the problem that it would be
    /// refused with.
    pub(super) async fn dry_run<I: Input>(
        &self,
        input: I,
        about: About,
    ) -> Result<Response, Problem> {
        let About { request_id, context, .. } = about;
        let dry_run = self.application.dry_run(input, context).await?;
        let DryRun { answer, epoch, events, refusal } = dry_run;
        if let Some(refusal) = refusal {
            return Err(refusal.into());
        }
        let events = events.into_iter().map(|(stream, event)| DryRunEvent {
            stream: stream.to_string(),
            r#type: event.event_type.to_string(),
            schema_version: event.schema_version,
            data: event.data,
        });
        let mut meta = Meta::new(request_id, self.clock.now());
        meta.epoch = Some(epoch.0);
        let Answer { id, part } = answer;
        let data = DryRunData {
            dry_run: true,
            id,
            line_id: part.and_then(Part::line),
            address_id: part.and_then(Part::address),
            events: events.collect(),
        };
        Ok(Envelope { data, meta }.into_response())
    }
}
