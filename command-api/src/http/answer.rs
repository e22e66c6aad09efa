//! Runs a command and builds its answer: the envelope, and the headers that a client continues
//! with.

use axum::http::header::{ETAG, HeaderName, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use event_store::Appended;
use serde::Serialize;
use service_kit::consistency::{CONSISTENCY_TOKEN, ConsistencyToken};
use service_kit::http::ApiVersion;
use service_kit::{Envelope, Meta, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::received::About;
use crate::application::idempotency::{Answer, Part};
use crate::application::{Done, Input};

const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A collection of resources in the query API, for links to them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collection(&'static str);

/// The collection with this name in the path.
pub(super) const fn collection(name: &'static str) -> Collection {
    Collection(name)
}

/// The result of a command.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Changed {
    /// The id of the user, product or order that was changed or created, or of the pricing.
    pub(super) id: Uuid,
    /// The version of that resource after the command.
    pub(super) version: i64,
    /// The id of the order line that was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) line_id: Option<Uuid>,
    /// The id of the address that was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) address_id: Option<Uuid>,
}

impl Api {
    /// Runs a command that creates a resource or a part of one. Answers 201, with the location of
    /// the whole resource.
    pub(super) async fn create<I: Input>(
        &self,
        input: I,
        about: About,
        Collection(name): Collection,
    ) -> Result<Response, Problem> {
        if about.dry_run {
            return self.dry_run(input, about).await;
        }
        // The query API has the same versions.
        let ApiVersion(version) = about.version;
        let (done, mut answer) = self.run(input, about).await?;
        let (queries, id) = (&self.public_query_url, done.answer.id);
        let location = format!("{queries}/api/v{version}/{name}/{id}");
        *answer.status_mut() = StatusCode::CREATED;
        insert(answer.headers_mut(), LOCATION, &location);
        Ok(answer)
    }

    /// Runs a command that changes a resource. Answers 200.
    pub(super) async fn change<I: Input>(
        &self,
        input: I,
        about: About,
    ) -> Result<Response, Problem> {
        if about.dry_run {
            return self.dry_run(input, about).await;
        }
        self.run(input, about).await.map(|(_, answer)| answer)
    }

    async fn run<I: Input>(&self, input: I, about: About) -> Result<(Done, Response), Problem> {
        let About { request_id, context, .. } = about;
        let done = self.application.run(input, context).await?;
        let answer = self.answer(&done, request_id);
        Ok((done, answer))
    }

    /// The signed token with which the query API shows what was appended.
    pub(crate) fn token(&self, appended: &Appended) -> String {
        let last = appended.last;
        let token = ConsistencyToken {
            epoch: appended.epoch.0,
            position: last.position.0,
            event_id: last.event_id.unwrap_or_default(),
        };
        token.sign(&self.tokens)
    }

    fn answer(&self, done: &Done, request_id: String) -> Response {
        let (epoch, last) = (done.appended.epoch.0, done.appended.last);
        let token = self.token(&done.appended);
        let Answer { id, part } = done.answer;
        let (line_id, address_id) = (part.and_then(Part::line), part.and_then(Part::address));
        let data = Changed { id, version: done.version(), line_id, address_id };
        let mut meta = Meta::new(request_id, self.clock.now()).at(epoch, last.position.0);
        meta.consistency_token = Some(token.clone());
        let etag = format!("\"{}\"", data.version);
        let mut answer = Envelope { data, meta }.into_response();
        let headers = answer.headers_mut();
        insert(headers, ETAG, &etag);
        insert(headers, CONSISTENCY_TOKEN, &token);
        if done.replayed {
            insert(headers, IDEMPOTENT_REPLAYED, "true");
        }
        answer
    }
}

/// Adds a header. Its value consists of ids, digits and a configured URL that was checked, so it is
/// valid.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name, value);
        }
        Err(error) => tracing::error!(%name, %error, "a header could not be made"),
    }
}
