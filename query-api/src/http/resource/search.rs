//! The handler of `/search`.

use access::{Caller, Permission, Scope};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::Response;
use identity::gate::RequestCaller;
use serde::Deserialize;
use service_kit::conditional::Preconditions;
use service_kit::extract::parse_query;
use service_kit::http::RequestId;
use service_kit::input::schema::OpaqueText;
use service_kit::input::{Integer, Text};
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::answer::Failures;
use crate::http::live::{self, LiveRequest};
use crate::http::{Api, as_of};
use crate::page::{DEFAULT_SIZE, MAX_SIZE};
use crate::read::search::Search;
use crate::view::search::{SearchHit, SearchKind};
use crate::wait::{QueryHeaders, Wait, WaitParams};

/// The maximum number of characters that are searched for.
const MAX_WORDS: usize = 200;

/// Why there are no live updates.
const NOT_LIVE: &str = "which hits are best is found again for each request";

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "search", description = "Users, orders and products by words")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(search))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SearchParams {
    /// What to look for: all of these words, words that are similar to them, or an id. Accents,
    /// case and punctuation make no difference. Without it, nothing is found.
    #[param(required = false, max_length = 200, pattern = r"^[^\u0000\ufffd]*$")]
    q: Option<String>,
    /// Only this kind of thing.
    #[param(required = false, inline)]
    kind: Option<SearchKind>,
    /// The maximum number of hits.
    #[param(required = false, value_type = i64, minimum = 1, maximum = 100, default = 20)]
    limit: Option<Text<Integer>>,
    /// A command's consistency token. The answer waits until it shows the command's effect. Only a
    /// token of this system is valid (`consistency-token-invalid`). The header `Consistency-Token`
    /// does the same, and must not be another one (`contradicts-header`).
    #[param(required = false, inline, value_type = OpaqueText)]
    consistency_token: Option<String>,
}

/// A request for what fits some words.
struct SearchRequest {
    caller: Caller,
    words: String,
    kind: Option<SearchKind>,
    limit: u32,
    wait: Option<Wait>,
    conditions: Preconditions,
}

impl FromRequestParts<Api> for SearchRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let query = parts.uri.query().unwrap_or_default();
        as_of::refuse(query)?;
        live::refuse(LiveRequest::of(parts)?.as_ref(), NOT_LIVE)?;
        let params: SearchParams = parse_query(query)?;
        let SearchParams { q, kind, limit, consistency_token } = params;
        let words = q.unwrap_or_default();
        let mut errors = Vec::new();
        if words.chars().count() > MAX_WORDS {
            let detail = format!("expected at most {MAX_WORDS} characters");
            errors.push(FieldError::new("/q", "too-long", detail));
        }
        let limit = limit.map_or(Ok(DEFAULT_SIZE), |Text(limit)| u32::try_from(limit.get()));
        let limit =
            limit.ok().filter(|limit| (1..=MAX_SIZE).contains(limit)).unwrap_or_else(|| {
                let detail = format!("expected 1 to {MAX_SIZE}");
                errors.push(FieldError::new("/limit", "out-of-range", detail));
                DEFAULT_SIZE
            });
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        let wait = Wait::of(&parts.headers, &WaitParams { consistency_token }, &api.token_key)?;
        let conditions = Preconditions::of(&parts.headers)?;
        Ok(Self { caller, words, kind, limit, wait, conditions })
    }
}

/// Searches users, orders and products.
///
/// It finds what the caller may see, best first. Of words that fit more than 1,000 things, not all
/// may be considered.
#[utoipa::path(
    get, path = "/search", tag = "search", operation_id = "search",
    params(SearchParams, QueryHeaders),
    responses((status = 200, description = "What was found, best first",
        body = Envelope<Vec<SearchHit>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn search(
    State(api): State<Api>,
    id: RequestId,
    request: SearchRequest,
) -> Result<Response, Problem> {
    let question = question(&api, &request)?;
    let view = api.ask(question, request.wait).await?;
    let hits: Vec<SearchHit> = view.data.into_iter().map(SearchHit::from).collect();
    api.hits(id, &hits, view.seen, &request.conditions, request.wait)
}

/// The question for what the caller may see.
fn question(api: &Api, request: &SearchRequest) -> Result<Search, Problem> {
    let SearchRequest { caller, words, kind: wanted, limit, .. } = request;
    let (mut kinds, mut own, mut owner, mut refused) = (Vec::new(), Vec::new(), None, None);
    for kind in SearchKind::ALL {
        if wanted.is_some_and(|wanted| wanted != kind) {
            continue;
        }
        let scope = match kind {
            SearchKind::User => api.scope(caller, Permission::UsersRead),
            SearchKind::Order => api.scope(caller, Permission::OrdersRead),
            SearchKind::Product => api.everything(caller, Permission::ProductsRead),
        };
        match scope {
            Ok(Scope::All) => kinds.push(kind.text()),
            Ok(Scope::Of(user)) => {
                kinds.push(kind.text());
                own.push(kind.text());
                owner = Some(user);
            }
            Err(problem) => refused = refused.or(Some(problem)),
        }
    }
    match refused {
        Some(problem) if kinds.is_empty() => Err(problem),
        _ => Ok(Search { words: words.clone(), kinds, own, owner, limit: *limit }),
    }
}
