//! Reads the bodies and queries of the requests, and checks them field by field.

use std::sync::Arc;

use projection::AnyProjection;
use projection::operation::record::MAX_WORDS;
use projection::operation::{Kind, Task};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service_kit::extract::parse_json;
use service_kit::input::{Id, Integer, Text};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::words;

/// The default number of operations in a list.
const PAGE: u32 = 20;
/// The maximum number of operations in a list.
pub(super) const MAX_PAGE: u32 = 100;

/// The body of a request for an operation. The kind determines the arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<A> {
    kind: String,
    projection: String,
    by: String,
    reason: String,
    #[serde(default)]
    arguments: A,
}

/// A valid request for an operation.
pub(super) struct Wanted<'a> {
    pub(super) task: Task,
    pub(super) projection: &'a Arc<dyn AnyProjection>,
    pub(super) by: String,
    pub(super) reason: String,
}

impl<'a> Wanted<'a> {
    /// Reads a request for an operation on one of these projections.
    pub(super) fn read(
        bytes: &[u8],
        projections: &'a [Arc<dyn AnyProjection>],
    ) -> Result<Self, Problem> {
        let body = parse_json::<Body<Option<IgnoredAny>>>(bytes)?;
        let mut wrong = Vec::new();
        words::check("/by", &body.by, MAX_WORDS, &mut wrong);
        words::check("/reason", &body.reason, MAX_WORDS, &mut wrong);
        let kind = Kind::named(&body.kind);
        if kind.is_none() {
            let kinds = Kind::ALL.iter().map(|kind| kind.as_str());
            wrong.push(unknown("/kind", &kinds.collect::<Vec<_>>()));
        }
        let projection = projections.iter().find(|known| known.name() == body.projection);
        if projection.is_none() {
            let names = projections.iter().map(|known| known.name());
            wrong.push(unknown("/projection", &names.collect::<Vec<_>>()));
        }
        let task = kind.map(|kind| task(kind, bytes)).transpose()?;
        if let (Some(task), Some(projection)) = (&task, projection) {
            wrong.extend(task.check(projection.as_ref()));
        }
        match (task, projection, wrong.is_empty()) {
            (Some(task), Some(projection), true) => {
                Ok(Self { task, projection, by: body.by, reason: body.reason })
            }
            _ => Err(Problem::invalid(wrong)),
        }
    }
}

fn unknown(pointer: &str, expected: &[&str]) -> FieldError {
    FieldError::new(pointer, "unknown", format!("expected one of {}", expected.join(", ")))
}

/// Reads the arguments of this kind.
fn task(kind: Kind, body: &[u8]) -> Result<Task, Problem> {
    Ok(match kind {
        Kind::Rebuild => Task::Rebuild(arguments(body)?),
        Kind::Verify => Task::Verify(arguments(body)?),
        Kind::Switch => Task::Switch(arguments(body)?),
        Kind::Drop => Task::Drop(arguments(body)?),
        Kind::Pause => Task::Pause(arguments(body)?),
        Kind::Resume => Task::Resume(arguments(body)?),
        Kind::ParkedRetry => Task::ParkedRetry(arguments(body)?),
        Kind::ParkedSkip => Task::ParkedSkip(arguments(body)?),
    })
}

/// Reads the whole body again, so that the pointer of an error begins at the body's root.
fn arguments<A: DeserializeOwned + Default>(body: &[u8]) -> Result<A, Problem> {
    Ok(parse_json::<Body<A>>(body)?.arguments)
}

/// The body of a request to cancel an operation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelBody {
    by: String,
}

impl CancelBody {
    /// Returns who cancels the operation.
    pub(super) fn who(self) -> Result<String, Problem> {
        let mut wrong = Vec::new();
        words::check("/by", &self.by, MAX_WORDS, &mut wrong);
        if wrong.is_empty() { Ok(self.by) } else { Err(Problem::invalid(wrong)) }
    }
}

/// The query of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    before: Option<Id>,
    limit: Option<Text<Integer>>,
}

impl ListQuery {
    /// Returns the id before which the list begins, and the maximum number of operations.
    pub(super) fn page(self) -> Result<(Option<Uuid>, u32), Problem> {
        let limit = match self.limit.map(|limit| u32::try_from(limit.0.get())) {
            None => PAGE,
            Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
            Some(_) => {
                let text = format!("1 to {MAX_PAGE} are possible");
                let wrong = FieldError::new("/limit", "out-of-range", text);
                return Err(Problem::invalid(vec![wrong]));
            }
        };
        Ok((self.before.map(Id::get), limit))
    }
}
