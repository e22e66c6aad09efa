//! A command as it arrives: its body, and what its headers say about it.

use access::Principal;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, OriginalUri, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::conditional::Preconditions;
use service_kit::extract::{parse_json, parse_query, require_json};
use service_kit::http::{RequestId, TraceParent};
use service_kit::input::Id;

use super::idempotency_key::idempotency_key;
use super::object::Object;
use super::precondition::precondition;
use crate::application::Context;
use crate::application::idempotency::KeyedRequest;

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
    let precondition = precondition(&Preconditions::of(&parts.headers)?);
    let key = idempotency_key(&parts.headers)?;
    let bytes = read_body(body).await?;
    // The whole path: the router cuts off the prefix under which a version is mounted.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let request = [parts.method.as_str().as_bytes(), uri.path().as_bytes(), &bytes[..]];
    let keyed = key.map(|key| KeyedRequest::new(key, &request));
    // Nobody signs in yet. The command's own id is what causes its events.
    let context =
        Context { traceparent, precondition, keyed, ..Context::new(Principal::Anonymous) };
    // A request id that is a UUID is the caller's name for the whole flow; any other cannot be one
    // in an event.
    let context = match request_id.parse::<Id>() {
        Ok(flow) => context.in_flow(flow.get()),
        Err(_) => context,
    };
    Ok((About { request_id, context, dry_run }, bytes))
}
