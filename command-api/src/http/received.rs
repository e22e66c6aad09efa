//! A command as it arrives: its body, and what its headers say about it.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::conditional::Preconditions;
use service_kit::extract::{parse_json, parse_query, require_json};
use service_kit::http::{RequestId, TraceParent, single};
use service_kit::input::Id;
use uuid::Uuid;

use super::object::Object;
use crate::application::command::Context;
use crate::application::idempotency::{IdempotencyKey, KeyedRequest};
use crate::application::precondition::Precondition;

/// The header that names the idempotency key.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A command with a JSON body.
pub(super) struct Received<T> {
    /// The body.
    pub(super) body: T,
    /// What the headers say.
    pub(super) about: About,
}

/// A command without a body.
pub(super) struct ReceivedBare {
    /// What the headers say.
    pub(super) about: About,
}

/// What came with a command besides its content.
pub(super) struct About {
    /// The request's id, for the answer.
    pub(super) request_id: String,
    /// What the command itself needs.
    pub(super) context: Context,
    /// Whether it is only to be told what the command would do.
    pub(super) dry_run: bool,
}

/// What a command's URL may ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Received<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = require_json(request.headers());
        let (about, bytes) = receive(request, state).await?;
        json?;
        let Object(body) = parse_json(&bytes)?;
        Ok(Self { body, about })
    }
}

impl<S: Send + Sync> FromRequest<S> for ReceivedBare {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (about, bytes) = receive(request, state).await?;
        // Many clients cannot send a POST without a body: an empty object says as little as none.
        if !bytes.is_empty() {
            parse_json::<Object<Nothing>>(&bytes)?;
        }
        Ok(Self { about })
    }
}

async fn receive<S: Send + Sync>(request: Request, state: &S) -> Result<(About, Bytes), Problem> {
    let (mut parts, body) = request.into_parts();
    let Ok(RequestId(request_id)) = RequestId::from_request_parts(&mut parts, state).await;
    let traceparent = parts.extensions.get::<TraceParent>().map(|TraceParent(text)| text.clone());
    let Asked { dry_run } = parse_query(parts.uri.query().unwrap_or_default())?;
    let precondition = Precondition::of(&Preconditions::of(&parts.headers)?);
    let key = idempotency_key(&parts.headers)?;
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let bytes = read_body(body).await?;
    let keyed = key.map(|key| KeyedRequest::new(key, method.as_str(), &path, &bytes));
    // A request id that is a UUID is the caller's name for the whole flow; any other cannot be one
    // in an event.
    let correlation_id = request_id.parse().map_or_else(|_| Uuid::now_v7(), Id::get);
    Ok((
        About {
            request_id,
            context: Context { precondition, keyed, correlation_id, traceparent },
            dry_run,
        },
        bytes,
    ))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let malformed = |detail: &str| {
        Problem::bad_request(
            "idempotency/malformed-key",
            "The Idempotency-Key header cannot be read",
        )
        .detail(detail)
    };
    let Some(text) =
        single(headers, &IDEMPOTENCY_KEY).map_err(|error| malformed(&error.to_string()))?
    else {
        return Ok(None);
    };
    IdempotencyKey::parse(text).map(Some).map_err(|error| malformed(&error.to_string()))
}
