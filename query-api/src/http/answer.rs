//! Answers: the envelope with its position, entity tags and 304, and the possible failures of every
//! query.

use access::Caller;
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, ETAG, LINK, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::gate::RequestCaller;
use serde::Serialize;
use serde_json::Value;
use service_kit::conditional::{EntityTag, Preconditions, RowTag, Verdict};
use service_kit::extract::{Path, parse_query};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::problem::ProblemBody;
use service_kit::{Envelope, Meta, PageInfo, Problem};
use utoipa::IntoResponses;
use uuid::Uuid;

use super::list::{Filter, ListRequest};
use super::wait::{PREFERENCE_APPLIED, Wait, WaitParams};
use super::{Api, etag};
use crate::page::Page;
use crate::read::{Read, ReadError, Seen, View};

/// The API version that these answers belong to.
const API_VERSION: &str = "v1";

/// A request for one row by its id.
pub(super) struct RowRequest {
    pub(super) id: Uuid,
    pub(super) caller: Caller,
    wait: Option<Wait>,
    conditions: Preconditions,
}

impl FromRequestParts<Api> for RowRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let Path(id) = Path::<Id>::from_request_parts(parts, api).await?;
        let params: WaitParams = parse_query(parts.uri.query().unwrap_or_default())?;
        let wait = Wait::of(&parts.headers, &params, &api.token_key)?;
        let conditions = Preconditions::of(&parts.headers)?;
        Ok(Self { id: id.get(), caller, wait, conditions })
    }
}

impl RowRequest {
    /// The position that the caller waits for, if there is one.
    pub(super) const fn wait(&self) -> Option<Wait> {
        self.wait
    }
}

impl Api {
    /// Answers a question, and waits first if the caller asks for it.
    pub(super) async fn ask<R: Read>(
        &self,
        question: R,
        wait: Option<Wait>,
    ) -> Result<View<R::Answer>, ReadError> {
        match wait {
            None => self.reader.read(question).await,
            Some(wait) => self.reader.read_at(question, wait.token, wait.patience).await,
        }
    }

    /// Answers with one row. `body` makes the visible form of the row from its version and
    /// position.
    pub(super) async fn row<R, T, B>(
        &self,
        id: RequestId,
        request: RowRequest,
        question: R,
        body: impl Fn(T) -> (B, i64, i64),
    ) -> Result<Response, Problem>
    where
        R: Read<Answer = Option<T>>,
        B: Serialize,
    {
        let view = self.ask(question, request.wait).await?;
        let (data, version, position) = view.data.map(body).ok_or_else(Problem::not_found)?;
        let Seen { generations, stale, .. } = &view.seen;
        let tag = RowTag { version, position, generations, api: API_VERSION, stale: *stale }.tag();
        self.finish(
            Answer { id, data, seen: view.seen, page: None, links: None, tag },
            &request.conditions,
            request.wait,
        )
    }

    /// Answers with one page of a list. `body` makes the visible form of a row, `key` its sort key.
    pub(super) fn list<F: Filter, T, B: Serialize>(
        &self,
        id: RequestId,
        request: &ListRequest<F>,
        view: View<Page<T>>,
        key: impl Fn(&T, F::Sort) -> Value,
        body: impl Fn(T) -> B,
    ) -> Result<Response, Problem> {
        let page = request.page(self, &view.data, key);
        let links = request.links(&page);
        let rows: Vec<B> = view.data.rows.into_iter().map(body).collect();
        let tag = list_tag(&rows, Some(&page), &view.seen)?;
        let answer = Answer { id, data: rows, seen: view.seen, page: Some(page), links, tag };
        self.finish(answer, &request.conditions, request.wait)
    }

    /// Answers with rows that are not a page of a list.
    pub(super) fn hits<B: Serialize>(
        &self,
        id: RequestId,
        rows: Vec<B>,
        seen: Seen,
        conditions: &Preconditions,
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let tag = list_tag(&rows, None, &seen)?;
        self.finish(Answer { id, data: rows, seen, page: None, links: None, tag }, conditions, wait)
    }

    fn finish<B: Serialize>(
        &self,
        answer: Answer<B>,
        conditions: &Preconditions,
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let Answer { id, data, seen, page, links, tag } = answer;
        let etag = HeaderValue::from_str(&tag.to_string()).map_err(|error| {
            tracing::error!(%error, "an entity tag cannot be a header");
            Problem::internal()
        })?;
        let mut response = match conditions.of_read(&tag) {
            Verdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
            Verdict::Failed => return Err(Problem::precondition_failed().header(ETAG, etag)),
            Verdict::Holds => {
                let mut meta = Meta::new(id.0, self.clock.now());
                (meta.epoch, meta.position, meta.page) = (seen.epoch, Some(seen.position), page);
                meta.stale = seen.stale.then_some(true);
                Envelope { data, meta }.into_response()
            }
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.append(
            VARY,
            HeaderValue::from_static("accept, authorization, consistency-token, prefer"),
        );
        headers.insert(ETAG, etag);
        let applied = wait.and_then(|wait| wait.preference_applied());
        let links = links.and_then(|links| HeaderValue::from_str(&links).ok());
        let optional = [(LINK, links), (PREFERENCE_APPLIED, applied)];
        headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Ok(response)
    }
}

/// The tag of these rows.
fn list_tag<B: Serialize>(
    rows: &[B],
    page: Option<&PageInfo>,
    seen: &Seen,
) -> Result<EntityTag, Problem> {
    etag::of_list(&rows, page, seen.stale).map_err(|error| {
        tracing::error!(%error, "a list cannot be written as JSON");
        Problem::internal()
    })
}

/// All parts of an answer.
struct Answer<B> {
    id: RequestId,
    data: B,
    seen: Seen,
    page: Option<PageInfo>,
    links: Option<String>,
    tag: EntityTag,
}

/// The possible failures of every query, for the API's description.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) enum Failures {
    /// The request cannot be parsed: a cursor or a consistency token was not made by this system
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// Sign in first, or the access token is not valid; see `WWW-Authenticate`
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemBody),
    /// The caller lacks the permission; `WWW-Authenticate` names it
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// There is nothing with this id, or not for the caller
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The consistency token belongs to another history of the data
    #[response(status = 409, content_type = "application/problem+json")]
    OtherEpoch(ProblemBody),
    /// The precondition in `If-Match` does not hold; `ETag` has the current tag
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(ProblemBody),
    /// A parameter is unknown, repeated or invalid, or it contradicts another
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// Something went wrong on the server
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The data do not show the wanted position yet, or cannot be reached; see `Retry-After`
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
    /// The answer took too long
    #[response(status = 504, content_type = "application/problem+json")]
    Timeout(ProblemBody),
}
