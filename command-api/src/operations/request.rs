//! Reads the bodies and queries of the requests, and checks them field by field.

use event_store::Epoch;
use event_store::erasure::MAX_BY_LEN;
use event_store::postgres::operations::{Kind, MAX_ABANDONED, MAX_REASON, Request};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use service_kit::extract::parse_json;
use service_kit::input::{Id, Integer, Text};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

/// The default number of operations in a list.
const PAGE: u32 = 20;
/// The maximum number of operations in a list.
const MAX_PAGE: u32 = 100;

/// The body of a request for an operation. The kind determines the arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<A> {
    kind: String,
    by: String,
    reason: String,
    arguments: A,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseArguments {
    subject: Id,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochArguments {
    #[serde(default)]
    abandoned: Vec<Id>,
}

/// A valid request for an operation.
pub(super) struct Wanted {
    pub(super) request: Request,
    pub(super) by: String,
    pub(super) reason: String,
}

impl Wanted {
    /// Reads a request for an operation.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let body = parse_json::<Body<IgnoredAny>>(bytes)?;
        let mut wrong = Vec::new();
        check_by(&body.by, &mut wrong);
        let reason = &body.reason;
        if reason.trim().is_empty() || reason.chars().count() > MAX_REASON || reason.contains('\0')
        {
            let detail = format!(
                "expected 1 to {MAX_REASON} characters, not all blank, none of them U+0000"
            );
            wrong.push(FieldError::new("/reason", "invalid", detail));
        }
        let kind = Kind::named(&body.kind);
        if kind.is_none() {
            let kinds = Kind::ALL.map(Kind::as_str).join(", ");
            wrong.push(FieldError::new("/kind", "unknown", format!("expected one of {kinds}")));
        }
        let request = kind.map(|kind| request(kind, bytes, &mut wrong)).transpose()?;
        match (request, wrong.is_empty()) {
            (Some(request), true) => Ok(Self { request, by: body.by, reason: body.reason }),
            _ => Err(Problem::invalid(wrong)),
        }
    }
}

/// Reads the arguments of this kind.
fn request(kind: Kind, body: &[u8], wrong: &mut Vec<FieldError>) -> Result<Request, Problem> {
    Ok(match kind {
        Kind::EraseSubject => {
            Request::EraseSubject(arguments::<EraseArguments>(body)?.subject.get())
        }
        Kind::BeginEpoch => {
            let abandoned = arguments::<EpochArguments>(body)?.abandoned;
            if abandoned.len() > MAX_ABANDONED {
                let detail = format!("at most {MAX_ABANDONED} epochs are possible");
                wrong.push(FieldError::new("/arguments/abandoned", "out-of-range", detail));
            }
            Request::BeginEpoch(abandoned.into_iter().map(|id| Epoch(id.get())).collect())
        }
    })
}

/// Reads the whole body again, so that the pointer of an error begins at the body's root.
fn arguments<A: DeserializeOwned>(body: &[u8]) -> Result<A, Problem> {
    Ok(parse_json::<Body<A>>(body)?.arguments)
}

/// Checks the id of a person. An erasure stores it in the log, so it is not a name.
fn check_by(by: &str, wrong: &mut Vec<FieldError>) {
    let is_id =
        (1..=MAX_BY_LEN).contains(&by.len()) && by.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_id {
        let detail = format!(
            "expected an opaque id of 1 to {MAX_BY_LEN} printable ASCII characters without blanks"
        );
        wrong.push(FieldError::new("/by", "invalid", detail));
    }
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
        check_by(&self.by, &mut wrong);
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
