//! The answer to a dry run: what a command would append, and whether it could.

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use service_kit::problem::ProblemBody;
use service_kit::{Envelope, Meta, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::received::About;
use crate::application::{DryRun, Input};

/// What a command would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRunData {
    /// Always true.
    dry_run: bool,
    /// What would change. What would be made gets another id when it is.
    id: Uuid,
    /// The line that would be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    line_id: Option<Uuid>,
    /// What would be appended, in order.
    events: Vec<DryRunEvent>,
    /// Whether all that the append requires holds at the moment.
    requirements_hold: bool,
    /// What the command would be refused with, when they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refusal: Option<ProblemBody>,
}

/// An event that would be appended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DryRunEvent {
    /// To which stream.
    stream: String,
    /// What would have happened.
    r#type: String,
    /// The version of the shape of `data`.
    schema_version: i32,
    /// The payload.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl Api {
    /// Decides a command, and answers 200 with what it would do.
    pub(super) async fn dry_run<I: Input>(
        &self,
        input: I,
        about: About,
    ) -> Result<Response, Problem> {
        let About { request_id, context, .. } = about;
        let dry_run = self.application.dry_run(input, context).await?;
        let DryRun { answer, epoch, events, refusal } = dry_run;
        let events = events.into_iter().map(|(stream, event)| DryRunEvent {
            stream: stream.to_string(),
            r#type: event.event_type.to_string(),
            schema_version: event.schema_version,
            data: event.data,
        });
        let refusal = refusal.map(|error| Problem::from(error).body().clone());
        let mut meta = Meta::new(request_id, self.clock.now());
        meta.epoch = Some(epoch.0);
        let (id, line_id, requirements_hold) = (answer.id, answer.line_id, refusal.is_none());
        let data = DryRunData {
            dry_run: true,
            id,
            line_id,
            events: events.collect(),
            requirements_hold,
            refusal,
        };
        Ok(Envelope { data, meta }.into_response())
    }
}
