//! Answers: the envelope with its position, entity tags and 304, and the possible failures of every
//! query.

use access::{Caller, Scope};
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, ETAG, LINK, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::gate::RequestCaller;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::conditional::{EntityTag, Preconditions, RowTag, Verdict};
use service_kit::envelope::{WrittenData, lag_seconds};
use service_kit::extract::{Path, parse_query};
use service_kit::http::{ApiVersion, RequestId};
use service_kit::input::schema::OpaqueText;
use service_kit::input::{Id, Text};
use service_kit::problem::ProblemBody;
use service_kit::{Meta, PageInfo, Problem};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use uuid::Uuid;

use super::export::Format;
use super::list::{Filter, ListRequest};
use super::live::{self, LiveRequest};
use super::{Api, as_of, etag};
use crate::page::{Page, PageRequest};
use crate::read::past::{AsOf, FindPast, Past};
use crate::read::table::Find;
use crate::read::{Read, ReadError, Seen, View};
use crate::wait::{PREFERENCE_APPLIED, Wait, WaitParams};

/// About how many bytes a row takes in an answer: those of an order with a few lines.
const ROW_BYTES: usize = 1024;

/// Why something has no live updates, unless its handler answers them.
const NOT_LIVE: &str = "nothing tells when it changes";

/// A request for one row by its id.
pub(super) struct RowRequest {
    pub(super) id: Uuid,
    pub(super) caller: Caller,
    /// The live updates that it asks for.
    pub(super) live: Option<LiveRequest>,
    as_of: Option<AsOf>,
    wait: Option<Wait>,
    conditions: Preconditions,
    version: ApiVersion,
}

/// The query parameters of a row.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RowParams {
    /// Shows it as it was at this moment: a position of the log, or a time. A moment that is still
    /// to come is refused (`in-the-future`). Live updates have no `as_of` (`contradicts-accept`).
    #[param(required = false, inline, value_type = AsOf)]
    as_of: Option<Text<AsOf>>,
    /// A command's consistency token. The answer waits until it shows the command's effect. Only a
    /// token of this system is valid (`consistency-token-invalid`). The header `Consistency-Token`
    /// does the same, and must not be another one (`contradicts-header`).
    #[param(required = false, inline, value_type = OpaqueText)]
    consistency_token: Option<String>,
}

impl FromRequestParts<Api> for RowRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let Path(id) = Path::<Id>::from_request_parts(parts, api).await?;
        let params: RowParams = parse_query(parts.uri.query().unwrap_or_default())?;
        let RowParams { as_of, consistency_token } = params;
        let wait = Wait::of(&parts.headers, &WaitParams { consistency_token }, &api.token_key)?;
        let conditions = Preconditions::of(&parts.headers)?;
        let as_of = as_of.map(|Text(as_of)| as_of);
        let (version, live) = (super::version_of(parts), LiveRequest::of(parts)?);
        if live.is_some() {
            live::refuse_with(&[("/as_of", as_of.is_some())])?;
        }
        Ok(Self { id: id.get(), caller, live, as_of, wait, conditions, version })
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

    /// Answers with one row, whose past is not kept. `body` makes the visible form of the row from
    /// its version and position.
    #[allow(dead_code, reason = "for resources without a past, as in the guide")]
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
        if request.as_of.is_some() {
            return Err(as_of::not_kept());
        }
        live::refuse(request.live.as_ref(), NOT_LIVE)?;
        let View { data, seen } = self.ask(question, request.wait).await?;
        self.shown(id, &request, View { data: data.map(body), seen })
    }

    /// Answers with one row in the caller's scope, now or as of the moment that the request names.
    /// `body` makes the form that clients see.
    pub(super) async fn row_as_of<R: Past, B: Serialize>(
        &self,
        id: RequestId,
        request: RowRequest,
        scope: Scope,
        body: fn(R) -> B,
    ) -> Result<Response, Problem> {
        let View { data, seen } = match request.as_of {
            None => self.ask(Find::<R>::new(request.id, scope), request.wait).await?,
            Some(as_of) => {
                let question = FindPast::<R>::new(request.id, scope, as_of);
                let view = self.ask(question, request.wait).await?;
                self.is_past(as_of, view.seen.position)?;
                view
            }
        };
        let data = data.map(|row| {
            let (version, position) = (row.version(), row.position());
            (body(row), version, position)
        });
        self.shown(id, &request, View { data, seen })
    }

    /// Answers with a row, which comes with its version and position.
    fn shown<B: Serialize>(
        &self,
        id: RequestId,
        request: &RowRequest,
        view: View<Option<(B, i64, i64)>>,
    ) -> Result<Response, Problem> {
        let (data, version, position) = view.data.ok_or_else(Problem::not_found)?;
        let Seen { generations, stale, .. } = &view.seen;
        let tag = match request.as_of {
            None => {
                let api = format!("v{}", request.version.0);
                RowTag { version, position, generations, api: &api, stale: *stale }.tag()
            }
            // An erasure blanks a past row, which keeps its version and position.
            Some(_) => self.tagged(&data, 1, None, &view.seen)?.1,
        };
        let data = || written(&data, ROW_BYTES);
        let answer = Answer { id, data, seen: view.seen, page: None, links: None, tag };
        self.finish(answer, &request.conditions, request.wait)
    }

    /// Answers with a list: one page, or all of it as an export, as the request says.
    ///
    /// `question` makes the question for a page, `key` is the sort key of a row, and `body` makes
    /// its visible form. A list with live updates answers requests for them before it calls this.
    pub(super) async fn list<F, R, T, B>(
        &self,
        id: RequestId,
        request: ListRequest<F>,
        question: impl Fn(PageRequest<F::Sort>) -> R + Send + Sync + 'static,
        key: fn(&T, F::Sort) -> Value,
        body: fn(T) -> B,
    ) -> Result<Response, Problem>
    where
        F: Filter,
        R: Read<Answer: Into<Option<Page<T>>>>,
        T: Send + 'static,
        B: Serialize + ToSchema + 'static,
    {
        live::refuse(request.live.as_ref(), NOT_LIVE)?;
        if request.format != Format::Json {
            return self.export(&request, question, key, body).await;
        }
        let view = self.ask(question(request.page_request.clone()), request.wait).await?;
        if let Some(as_of) = request.filter.as_of() {
            self.is_past(as_of, view.seen.position)?;
        }
        let rows: Option<Page<T>> = view.data.into();
        let rows = rows.ok_or_else(Problem::not_found)?;
        let page = request.page(self, &rows, key);
        let links = request.links(&page);
        let rows: Vec<B> = rows.rows.into_iter().map(body).collect();
        let (data, tag) = self.tagged(&rows, rows.len(), Some(&page), &view.seen)?;
        let data = || Ok(data);
        let answer = Answer { id, data, seen: view.seen, page: Some(page), links, tag };
        self.finish(answer, &request.conditions, request.wait)
    }

    /// Answers with rows that are not a page of a list.
    pub(super) fn hits<B: Serialize>(
        &self,
        id: RequestId,
        rows: &[B],
        seen: Seen,
        conditions: &Preconditions,
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let (data, tag) = self.tagged(rows, rows.len(), None, &seen)?;
        let data = || Ok(data);
        self.finish(Answer { id, data, seen, page: None, links: None, tag }, conditions, wait)
    }

    /// These rows as JSON, with their tag. They are written once, for the tag and for the answer.
    fn tagged(
        &self,
        data: &(impl Serialize + ?Sized),
        rows: usize,
        page: Option<&PageInfo>,
        seen: &Seen,
    ) -> Result<(WrittenData, EntityTag), Problem> {
        let data = written(data, rows * ROW_BYTES)?;
        let tag = etag::of_list(self.cursor_key.seed(), data.json(), page, seen.stale);
        Ok((data, tag.map_err(|error| not_written(&error))?))
    }

    fn finish(
        &self,
        answer: Answer<impl FnOnce() -> Result<WrittenData, Problem>>,
        conditions: &Preconditions,
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let Answer { id, data, seen, page, links, tag } = answer;
        let mut response = conditional(&tag, conditions, wait, || {
            let mut meta = Meta::new(id.0, self.clock.now());
            (meta.epoch, meta.position, meta.page) = (seen.epoch, Some(seen.position), page);
            meta.lag_seconds = seen.lag.map(lag_seconds);
            meta.stale = seen.stale.then_some(true);
            let written =
                data().and_then(|data| data.answer(&meta).map_err(|error| not_written(&error)));
            written.into_response()
        })?;
        let links = links.and_then(|links| HeaderValue::from_str(&links).ok());
        response.headers_mut().extend(links.map(|links| (LINK, links)));
        Ok(response)
    }
}

/// Answers with what `make` makes, or with 304 or 412 if a condition says so, and with the headers
/// that every answer has.
pub(super) fn conditional(
    tag: &EntityTag,
    conditions: &Preconditions,
    wait: Option<Wait>,
    make: impl FnOnce() -> Response,
) -> Result<Response, Problem> {
    let etag = HeaderValue::from_str(&tag.to_string()).map_err(|error| {
        tracing::error!(%error, "an entity tag cannot be a header");
        Problem::internal()
    })?;
    let mut response = match conditions.of_read(tag) {
        Verdict::NotModified => StatusCode::NOT_MODIFIED.into_response(),
        Verdict::Failed => return Err(Problem::precondition_failed().header(ETAG, etag)),
        Verdict::Holds => make(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers
        .append(VARY, HeaderValue::from_static("accept, authorization, consistency-token, prefer"));
    headers.insert(ETAG, etag);
    let applied = wait.and_then(|wait| wait.preference_applied());
    headers.extend(applied.map(|applied| (PREFERENCE_APPLIED, applied)));
    Ok(response)
}

/// This data as JSON. `about` is its size in bytes, if it is as large as usual.
fn written(data: &(impl Serialize + ?Sized), about: usize) -> Result<WrittenData, Problem> {
    WrittenData::new(data, about).map_err(|error| not_written(&error))
}

fn not_written(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "an answer cannot be written as JSON");
    Problem::internal()
}

/// All parts of an answer.
struct Answer<D> {
    id: RequestId,
    /// Writes the data. It is not called if the client has it already.
    data: D,
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
    /// There are no live updates of this, and the caller accepts nothing else
    #[response(status = 406, content_type = "application/problem+json")]
    NotAcceptable(ProblemBody),
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
