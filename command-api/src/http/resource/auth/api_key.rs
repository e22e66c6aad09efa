//! The handlers of `/api/vN/auth/api-keys` and of the exchange of a key for an access token.

use access::Grants;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use identity::gate::RequestCaller;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::extract::{Json, Path, Query};
use service_kit::http::RequestId;
use service_kit::input::{Id, Time};
use service_kit::{Envelope, FieldError, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::{Nothing, client_name};
use crate::auth::api_key::{ListedKey, NewKey};
use crate::http::secret::Secret;
use crate::http::{Api, present};

/// The routes of API keys.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(make, list))
        .routes(routes!(revoke))
        .routes(routes!(exchange))
}

/// An API key to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKeyBody {
    /// The name of the program that uses the key: lower-case letters, digits and hyphens.
    #[schema(pattern = "^[a-z0-9-]{1,64}$", example = "stock-import")]
    name: String,
    /// What the key allows: at least one permission (`too-few`), with or without `.own`, with
    /// blanks between them. Each exists (`scope/unknown`), and you must hold it yourself.
    #[schema(min_length = 1, max_length = 4096, example = "products:read products:write")]
    scopes: String,
    /// When the key expires, in the future (`in-the-past`). Without it, never.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, required = false)]
    expires_at: Option<Time>,
}

/// An API key to exchange.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExchangeBody {
    /// The API key.
    #[schema(value_type = String, format = Password, max_length = 64, example = "the API key")]
    api_key: Secret,
}

/// An API key without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiKey {
    /// The key's id.
    id: Uuid,
    /// The name of the program that uses it.
    name: String,
    /// What it allows.
    scopes: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it expires; null for never.
    #[schema(required = true)]
    expires_at: Option<DateTime<Utc>>,
    /// When it was last exchanged, to the minute; null for never.
    #[schema(required = true)]
    used_at: Option<DateTime<Utc>>,
    /// When it was revoked; null if it is valid.
    #[schema(required = true)]
    revoked_at: Option<DateTime<Utc>>,
}

/// An API key that was just made.
#[derive(Serialize, ToSchema)]
struct MadeApiKey {
    /// The key. It is shown this once.
    #[schema(format = Password)]
    api_key: String,
    /// What is known of it later.
    #[serde(flatten)]
    known: ApiKey,
}

/// An access token of an API key.
#[derive(Serialize, ToSchema)]
struct KeyToken {
    /// The token for `Authorization: Bearer`, in both APIs.
    #[schema(format = Password)]
    access_token: String,
    /// How the access token is sent: `Bearer`.
    token_type: &'static str,
    /// The lifetime of the access token in seconds.
    expires_in: u64,
    /// What the access token allows: permissions with blanks between them.
    scope: String,
}

impl From<ListedKey> for ApiKey {
    fn from(key: ListedKey) -> Self {
        let ListedKey { key_id, name, scopes, created_at, expires_at, used_at, revoked_at } = key;
        Self { id: key_id, name, scopes, created_at, expires_at, used_at, revoked_at }
    }
}

/// Make an API key.
///
/// It takes a session. The key is shown in this answer only. A mail tells of it.
#[utoipa::path(
    post, path = "/auth/api-keys", operation_id = "makeApiKey", tag = "auth",
    request_body = NewKeyBody,
    responses(
        (status = 201, description = "The key", body = Envelope<MadeApiKey>),
        (status = 403, description = "You do not hold all of the scopes, or act with an API key"),
        (status = 409, description = "You have too many keys"),
    ),
)]
async fn make(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
    Json(body): Json<NewKeyBody>,
) -> Result<Response, Problem> {
    let NewKeyBody { name, scopes, expires_at } = body;
    let expires_at = expires_at.map(Time::get);
    let wrong = |pointer: &str, code, detail: String| {
        Problem::invalid(vec![FieldError::new(pointer, code, detail)])
    };
    let name = client_name("/name", name)?;
    let scopes: Grants = scopes.parse().map_err(|error: access::InvalidGrant| {
        wrong("/scopes", "scope/unknown", error.to_string())
    })?;
    if scopes.is_empty() {
        return Err(wrong("/scopes", "too-few", "a key has at least one scope".to_owned()));
    }
    if expires_at.is_some_and(|at| at <= api.clock.now()) {
        let detail = "a key expires in the future".to_owned();
        return Err(wrong("/expires_at", "in-the-past", detail));
    }
    let made = api.identity()?.make_key(&caller, NewKey { name, scopes, expires_at }).await?;
    let data =
        MadeApiKey { api_key: made.key.expose_secret().to_owned(), known: made.listed.into() };
    Ok((StatusCode::CREATED, api.plain(data, request_id)).into_response())
}

/// List your API keys, the newest first.
#[utoipa::path(
    get, path = "/auth/api-keys", operation_id = "listApiKeys", tag = "auth",
    responses(
        (status = 200, description = "Your keys", body = Envelope<Vec<ApiKey>>),
    ),
)]
async fn list(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
) -> Result<Response, Problem> {
    let keys = api.identity()?.keys(&caller).await?;
    let keys: Vec<ApiKey> = keys.into_iter().map(ApiKey::from).collect();
    Ok(api.plain(keys, request_id))
}

/// Revoke one of your API keys, and its access tokens.
#[utoipa::path(
    delete, path = "/auth/api-keys/{id}", operation_id = "revokeApiKey", tag = "auth",
    params(("id" = inline(Id), Path, description = "The key's id")),
    responses(
        (status = 204, description = "The key is revoked"),
    ),
)]
async fn revoke(
    State(api): State<Api>,
    Path(key): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
) -> Result<Response, Problem> {
    api.identity()?.revoke_key(&caller, key.get()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Exchange an API key for an access token.
///
/// It allows what both the key's scopes and your roles allow now.
#[utoipa::path(
    post, path = "/auth/token", operation_id = "exchangeApiKey", tag = "auth",
    request_body = ExchangeBody,
    responses(
        (status = 200, description = "An access token", body = Envelope<KeyToken>),
        (status = 401, description = "The key is not valid, or no longer"),
    ),
)]
async fn exchange(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    request_id: RequestId,
    Json(ExchangeBody { api_key: Secret(key) }): Json<ExchangeBody>,
) -> Result<Response, Problem> {
    let token = api.identity()?.exchange_key(&key).await?;
    let data = KeyToken {
        access_token: token.text.expose_secret().to_owned(),
        token_type: "Bearer",
        expires_in: token.lifetime.as_secs(),
        scope: token.grants.to_string(),
    };
    Ok(api.plain(data, request_id))
}
