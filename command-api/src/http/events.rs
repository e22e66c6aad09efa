//! The descriptions of the events: `/asyncapi.json`, and `/schemas/{event}/{version}` for the JSON
//! Schema of each version.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::Value;
use service_kit::conditional::{EntityTag, Preconditions, Verdict};
use service_kit::problem::Problem;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::events;

const ASYNCAPI: &str = "/asyncapi.json";
const ASYNCAPI_TYPE: &str = "application/vnd.aai.asyncapi+json;version=3.0.0";
const SCHEMA: &str = "/schemas/{event}/{version}";
const SCHEMA_TYPE: &str = "application/schema+json";
/// They change only with the program, and their tags are cheap to compare.
const CACHED: &str = "public, no-cache";

/// They are made once, when the first one is asked for.
static DOCUMENTS: LazyLock<Documents> = LazyLock::new(Documents::new);

struct Documents {
    asyncapi: Document,
    /// The schemas by `type/version`.
    schemas: HashMap<String, Document>,
}

/// A document as it is sent.
struct Document {
    media_type: &'static str,
    text: Bytes,
    tag: EntityTag,
}

impl Documents {
    fn new() -> Self {
        let schemas = events::schemas().into_iter().map(|event| {
            let path = format!("{}/{}", event.event_type, event.version);
            (path, Document::new(SCHEMA_TYPE, &event.schema))
        });
        Self {
            asyncapi: Document::new(ASYNCAPI_TYPE, &events::asyncapi()),
            schemas: schemas.collect(),
        }
    }
}

impl Document {
    fn new(media_type: &'static str, document: &Value) -> Self {
        let text = document.to_string();
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::digest(&text)[..16]);
        let tag = EntityTag::strong(Uuid::from_bytes(half).simple().to_string());
        Self { media_type, text: text.into(), tag }
    }

    fn answer(&self, headers: &HeaderMap) -> Result<Response, Problem> {
        let tag = (ETAG, self.tag.to_string());
        let cached = (CACHE_CONTROL, CACHED);
        match Preconditions::of(headers)?.of_read(&self.tag) {
            Verdict::Holds => {
                let content = (CONTENT_TYPE, self.media_type);
                Ok(([tag], [cached, content], self.text.clone()).into_response())
            }
            Verdict::NotModified => Ok((StatusCode::NOT_MODIFIED, [tag], [cached]).into_response()),
            Verdict::Failed => Err(Problem::precondition_failed()),
        }
    }
}

/// The routes of the descriptions. They need no token.
pub(super) fn routes() -> Router {
    Router::new().route(ASYNCAPI, get(asyncapi)).route(SCHEMA, get(schema))
}

async fn asyncapi(headers: HeaderMap) -> Result<Response, Problem> {
    DOCUMENTS.asyncapi.answer(&headers)
}

async fn schema(
    Path((event, version)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = DOCUMENTS.schemas.get(&format!("{event}/{version}"));
    found.ok_or_else(Problem::not_found)?.answer(&headers)
}
