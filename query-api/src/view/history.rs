//! An event in the history of a resource, in the form that clients see.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::read::past::{Past, Step};

/// What changes with every event, and says nothing about it.
const WITH_EVERY_EVENT: [&str; 2] = ["version", "updated_at"];

/// An event in the history of a resource.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryEntry {
    /// The event's id.
    id: Uuid,
    /// The event's position in the log. The resource can be asked for as of it: `?as_of=`.
    pub(crate) position: i64,
    /// What happened. An event of something else may change a resource, too: `order.confirmed`
    /// changes the totals of its user.
    #[schema(example = "order.confirmed")]
    event_type: String,
    /// The version that the event's own resource has since then.
    version: i64,
    /// The time when it was recorded.
    recorded_at: DateTime<Utc>,
    /// Who acted: `anonymous`, `user:ID` or `system:NAME`. Null if the event does not say, or the
    /// caller lacks the permission `audit:read`.
    #[schema(required = true, example = "user:0190b3a2-0000-7000-8000-000000000001")]
    by: Option<String>,
    /// The fields of the resource that the event changed, each with its value afterwards. The first
    /// event has all fields. Personal values are null after they were erased.
    #[schema(value_type = Object, example = json!({"status": "confirmed"}))]
    changes: Map<String, Value>,
    /// The id of the resource.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) of: Uuid,
}

/// Makes the fields of a row as clients see it.
pub(crate) type Fields<R> = fn(R) -> Result<Map<String, Value>, serde_json::Error>;

impl HistoryEntry {
    /// The form of a step.
    pub(crate) fn new<R: Past>(
        step: Step<R>,
        fields: Fields<R>,
        names_who: bool,
    ) -> Result<Self, serde_json::Error> {
        let Step { event_id: id, event_type, version, recorded_at, by, row, before } = step;
        let (position, of) = (row.position(), row.id());
        let before = before.map(fields).transpose()?.unwrap_or_default();
        let mut changes = fields(row)?;
        changes.retain(|field, value| {
            let is_always = WITH_EVERY_EVENT.contains(&field.as_str());
            before.is_empty() || !is_always && before.get(field) != Some(&*value)
        });
        let by = by.filter(|_| names_who);
        Ok(Self { id, position, event_type, version, recorded_at, by, changes, of })
    }
}

/// The fields of a row that clients see as `B`.
pub(crate) fn fields<R, B: From<R> + Serialize>(
    row: R,
) -> Result<Map<String, Value>, serde_json::Error> {
    match serde_json::to_value(B::from(row))? {
        Value::Object(fields) => Ok(fields),
        other => Err(serde::ser::Error::custom(format!("not an object: {other}"))),
    }
}
