//! Reads the bodies and queries of the requests, and checks them field by field.

use std::sync::Arc;

use identity::{Operator, Signature};
use projection::AnyProjection;
use projection::operation::record::MAX_WORDS;
use projection::operation::{Kind, Task};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service_kit::extract::parse_json;
use service_kit::operations::{check_words, unknown};
use service_kit::{FieldError, Problem};

/// The body of a request for an operation. The kind determines the arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<A> {
    kind: String,
    projection: String,
    #[serde(default)]
    by: Option<String>,
    reason: String,
    #[serde(default)]
    arguments: A,
}

/// A valid request for an operation.
pub(super) struct Wanted<'a> {
    pub(super) task: Task,
    pub(super) projection: &'a Arc<dyn AnyProjection>,
    pub(super) signature: Signature,
    pub(super) reason: String,
}

impl<'a> Wanted<'a> {
    /// Reads this operator's request for an operation on one of these projections.
    pub(super) fn read(
        bytes: &[u8],
        projections: &'a [Arc<dyn AnyProjection>],
        operator: &Operator,
    ) -> Result<Self, Problem> {
        let body = parse_json::<Body<Option<IgnoredAny>>>(bytes)?;
        let mut wrong = Vec::new();
        let signature = operator.signature(body.by, check_by, &mut wrong);
        check_words("/reason", &body.reason, MAX_WORDS, &mut wrong);
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
                Ok(Self { task, projection, signature, reason: body.reason })
            }
            _ => Err(Problem::invalid(wrong)),
        }
    }
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

/// Checks the name of a person.
pub(super) fn check_by(by: &str, wrong: &mut Vec<FieldError>) {
    check_words("/by", by, MAX_WORDS, wrong);
}
