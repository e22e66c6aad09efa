//! A command as it arrives over HTTP: its body and its headers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OriginalUri, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, Method};
use identity::gate::RequestCaller;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::conditional::Preconditions;
use service_kit::extract::{parse_json, parse_query, require_json, require_patch};
use service_kit::http::{ApiVersion, RequestId, TraceParent};
use service_kit::input::Id;

use super::Version;
use super::idempotency_key::idempotency_key;
use super::object::Object;
use super::precondition::precondition;
use crate::application::Context;
use crate::application::batch::Batch;
use crate::application::idempotency::KeyedRequest;

/// A request with a JSON body.
pub(super) struct Received<T> {
    /// The parsed body.
    pub(super) body: T,
    /// The information from the headers and the URL.
    pub(super) about: About,
}

/// A request without a body.
pub(super) struct ReceivedBare {
    /// The information from the headers and the URL.
    pub(super) about: About,
}

/// The information that comes with a command, apart from its body.
pub(super) struct About {
    /// The id of the request, for the answer.
    pub(super) request_id: String,
    /// The context for the command itself.
    pub(super) context: Context,
    /// Whether the request is a dry run.
    pub(super) dry_run: bool,
    /// The version of the API that the request is for.
    pub(super) version: ApiVersion,
}

/// What layers found out about a request, such as its id. Requests that are made from it have it,
/// too.
pub(super) struct Forwarded(pub(super) Extensions);

impl<S: Send + Sync> FromRequestParts<S> for Forwarded {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut extensions = parts.extensions.clone();
        // It is the path of another route.
        extensions.remove::<MatchedPath>();
        Ok(Self(extensions))
    }
}

/// The query parameters that a command accepts.
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
        // A PATCH is read as a merge patch, whichever of the two types it names.
        let json = match *request.method() {
            Method::PATCH => require_patch(request.headers()),
            _ => require_json(request.headers()),
        };
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
        // Many clients cannot send a POST without a body, so an empty object is accepted too.
        if !bytes.is_empty() {
            parse_json::<Object<Nothing>>(&bytes)?;
        }
        Ok(Self { about })
    }
}

async fn receive<S: Send + Sync>(request: Request, state: &S) -> Result<(About, Bytes), Problem> {
    let (mut parts, body) = request.into_parts();
    let RequestCaller(caller) = RequestCaller::of(&parts)?;
    let Ok(RequestId(request_id)) = RequestId::from_request_parts(&mut parts, state).await;
    let traceparent = parts.extensions.get::<TraceParent>().map(|TraceParent(text)| text.clone());
    let oldest = Version::V1.number();
    let version = parts.extensions.get::<ApiVersion>().copied().unwrap_or(oldest);
    let Asked { dry_run } = parse_query(parts.uri.query().unwrap_or_default())?;
    let precondition = precondition(&Preconditions::of(&parts.headers)?);
    let key = idempotency_key(&parts.headers)?;
    let bytes = read_body(body).await?;
    // The whole path is needed here. The router cuts off the prefix under which a version is
    // mounted.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let request = [parts.method.as_str().as_bytes(), uri.path().as_bytes(), &bytes[..]];
    let keyed = key.map(|key| KeyedRequest::new(key, &request));
    // The command's own id is the cause of its events.
    let batch = parts.extensions.get::<Arc<Batch>>().cloned();
    let context = Context { traceparent, precondition, keyed, batch, ..Context::new(caller) };
    // If the request id is a UUID, it becomes the correlation id of the flow. Any other request id
    // cannot be stored in an event.
    let context = match request_id.parse::<Id>() {
        Ok(flow) => context.in_flow(flow.get()),
        Err(_) => context,
    };
    Ok((About { request_id, context, dry_run, version }, bytes))
}
