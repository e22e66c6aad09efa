//! Reads the requests for operations, and checks them field by field.

use event_store::Epoch;
use event_store::erasure::MAX_BY_LEN;
use event_store::postgres::operations::{Kind, MAX_ABANDONED, MAX_REASON, Request};
use identity::{Operator, Signature};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use service_kit::extract::parse_json;
use service_kit::input::Id;
use service_kit::operations::{check_id, check_words, unknown};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use super::permission;
use crate::application::OpenOrders;

/// The argument that says that open orders are cancelled with the erasure.
pub(super) const CANCEL_OPEN_ORDERS: &str = "cancel_open_orders";

/// The body of a request for an operation. The kind determines the arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<A> {
    kind: String,
    #[serde(default)]
    by: Option<String>,
    reason: String,
    arguments: A,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EraseArguments {
    subject: Id,
    #[serde(default)]
    cancel_open_orders: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochArguments {
    replaces: Id,
    #[serde(default)]
    abandoned: Vec<Id>,
}

/// A valid request for an operation.
pub(super) struct Wanted {
    pub(super) request: Request,
    pub(super) signature: Signature,
    pub(super) reason: String,
}

impl Wanted {
    /// Reads the request of this operator. Only the kind is read before the permission for that
    /// kind is checked.
    pub(super) fn read(bytes: &[u8], operator: &Operator) -> Result<Self, Problem> {
        let body = parse_json::<Body<IgnoredAny>>(bytes)?;
        let kind = Kind::named(&body.kind);
        if let Some(kind) = kind {
            operator.check(permission(kind))?;
        }
        let mut wrong = Vec::new();
        let signature = operator.signature(body.by, check_by, &mut wrong);
        check_words("/reason", &body.reason, MAX_REASON, &mut wrong);
        if kind.is_none() {
            wrong.push(unknown("/kind", &Kind::ALL.map(Kind::as_str)));
        }
        let request = kind.map(|kind| request(kind, bytes, &mut wrong)).transpose()?;
        match (request, wrong.is_empty()) {
            (Some(request), true) => Ok(Self { request, signature, reason: body.reason }),
            _ => Err(Problem::invalid(wrong)),
        }
    }
}

/// Reads the arguments of this kind.
fn request(kind: Kind, body: &[u8], wrong: &mut Vec<FieldError>) -> Result<Request, Problem> {
    Ok(match kind {
        Kind::EraseSubject => {
            let EraseArguments { subject, cancel_open_orders } = arguments(body)?;
            let mut options = Map::new();
            if cancel_open_orders {
                options.insert(CANCEL_OPEN_ORDERS.to_owned(), Value::Bool(true));
            }
            Request::EraseSubject { subject: subject.get(), options }
        }
        Kind::BeginEpoch => {
            let EpochArguments { replaces, abandoned } = arguments(body)?;
            if abandoned.len() > MAX_ABANDONED {
                let detail = format!("at most {MAX_ABANDONED} epochs are possible");
                wrong.push(FieldError::new("/arguments/abandoned", "out-of-range", detail));
            }
            let abandoned = abandoned.into_iter().map(|id| Epoch(id.get())).collect();
            Request::BeginEpoch { replaces: Epoch(replaces.get()), abandoned }
        }
    })
}

/// The subject of an erasure, and what happens to its open orders.
pub(super) fn erasure(request: &Request) -> Option<(Uuid, OpenOrders)> {
    let Request::EraseSubject { subject, options } = request else { return None };
    let is_cancelled = options.get(CANCEL_OPEN_ORDERS) == Some(&Value::Bool(true));
    Some((*subject, if is_cancelled { OpenOrders::Cancel } else { OpenOrders::Refuse }))
}

/// Reads the whole body again, so that the pointer of an error begins at the body's root.
fn arguments<A: DeserializeOwned>(body: &[u8]) -> Result<A, Problem> {
    Ok(parse_json::<Body<A>>(body)?.arguments)
}

/// Checks the id of a person. An erasure stores it in the log, so it is not a name.
pub(super) fn check_by(by: &str, wrong: &mut Vec<FieldError>) {
    check_id("/by", by, MAX_BY_LEN, wrong);
}
