//! The handlers of `/api/vN/auth`: logging in and out, and refreshing tokens.

use access::SystemName;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use domain::value::Email;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use service_kit::extract::{Json, Query};
use service_kit::http::{ClientAddress, RequestId};
use service_kit::input::schema::EmailAddress;
use service_kit::{Envelope, FieldError, Meta, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::application::CommandError;
use crate::auth::{Credentials, Identity, Tokens, Visitor};
use crate::http::Api;
use crate::http::secret::Secret;

mod administration;
mod api_key;
mod proof;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "auth", description = "Logging in and out, and access tokens")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(log_out))
        .routes(routes!(log_out_everywhere))
        .merge(proof::routes())
        .merge(api_key::routes())
        .merge(administration::routes())
}

/// The name of a client that does not name itself.
const UNNAMED: &str = "unnamed";

/// Credentials of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogInBody {
    /// The e-mail address. Upper and lower case are the same.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The password.
    #[schema(value_type = String, format = Password, max_length = 128,
        example = "a first long password")]
    password: Secret,
    /// The name of the frontend, for the list of sessions: lower-case letters, digits and hyphens.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(pattern = "^[a-z0-9-]{1,64}$", nullable = false, example = "web")]
    client: Option<String>,
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshBody {
    /// The refresh token. To log out with anything else succeeds, too: there is no such session.
    #[schema(value_type = String, format = Password, example = "the refresh token")]
    refresh_token: Secret,
}

/// No query parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The tokens of a session.
#[derive(Serialize, ToSchema)]
struct SessionTokens {
    /// The token for `Authorization: Bearer`, in both APIs.
    #[schema(format = Password)]
    access_token: String,
    /// How the access token is sent: `Bearer`.
    token_type: &'static str,
    /// The lifetime of the access token in seconds.
    expires_in: u64,
    /// What the access token allows: permissions with blanks between them.
    #[schema(example = "orders:read.own products:read")]
    scope: String,
    /// The token for the next pair. It is valid once.
    #[schema(format = Password)]
    refresh_token: String,
    /// When the refresh token expires if it is not used.
    refresh_expires_at: DateTime<Utc>,
    /// The id of the user.
    user_id: Uuid,
    /// The id of the session.
    session_id: Uuid,
}

/// Log in with e-mail address and password.
///
/// The answer does not tell whether the address or the password is wrong.
#[utoipa::path(
    post, path = "/auth/log-in", operation_id = "logIn", tag = "auth", request_body = LogInBody,
    responses(
        (status = 200, description = "A session has begun", body = Envelope<SessionTokens>),
        (status = 401, description = "The e-mail address or the password is wrong"),
        (status = 429, description = "There were too many attempts"),
    ),
)]
async fn log_in(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    address: ClientAddress,
    request_id: RequestId,
    Json(body): Json<LogInBody>,
) -> Result<Response, Problem> {
    let LogInBody { email: text, password: Secret(password), client } = body;
    let (email, visitor) = (email(&text)?, visitor(client, address)?);
    let tokens = api.identity()?.log_in(Credentials { email, password }, visitor).await?;
    Ok(api.session(&tokens, request_id))
}

/// Exchange a refresh token for the next pair of tokens.
///
/// A refresh token is valid once. Sent again within ten seconds, it gets the same successor. Sent
/// again later, it ends the session, because it was perhaps stolen.
#[utoipa::path(
    post, path = "/auth/refresh", operation_id = "refreshTokens", tag = "auth",
    request_body = RefreshBody,
    responses(
        (status = 200, description = "The next tokens", body = Envelope<SessionTokens>),
        (status = 401, description = "The refresh token is not valid, or the session has ended"),
    ),
)]
async fn refresh(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    request_id: RequestId,
    Json(RefreshBody { refresh_token: Secret(token) }): Json<RefreshBody>,
) -> Result<Response, Problem> {
    let tokens = api.identity()?.refresh(&token).await?;
    Ok(api.session(&tokens, request_id))
}

/// Log out: end the session of a refresh token.
///
/// The answer is the same if the session has ended already.
#[utoipa::path(
    post, path = "/auth/log-out", operation_id = "logOut", tag = "auth",
    request_body = RefreshBody,
    responses((status = 204, description = "The session has ended")),
)]
async fn log_out(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    Json(RefreshBody { refresh_token: Secret(token) }): Json<RefreshBody>,
) -> Result<Response, Problem> {
    api.identity()?.log_out(&token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Log out everywhere: end all sessions of the user.
#[utoipa::path(
    post, path = "/auth/log-out-everywhere", operation_id = "logOutEverywhere", tag = "auth",
    request_body = RefreshBody,
    responses(
        (status = 204, description = "All sessions of the user have ended"),
        (status = 401, description = "The refresh token is not the valid one of a session"),
    ),
)]
async fn log_out_everywhere(
    State(api): State<Api>,
    Query(Nothing {}): Query<Nothing>,
    Json(RefreshBody { refresh_token: Secret(token) }): Json<RefreshBody>,
) -> Result<Response, Problem> {
    api.identity()?.log_out_everywhere(&token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Reads an e-mail address of a body.
fn email(text: &str) -> Result<Email, Problem> {
    Ok(Email::parse(text).map_err(|error| CommandError::invalid("email", error))?)
}

/// The visitor with this name of a client, if the body has one.
fn visitor(
    client: Option<String>,
    ClientAddress(address): ClientAddress,
) -> Result<Visitor, Problem> {
    let client = client_name("/client", client.unwrap_or_else(|| UNNAMED.to_owned()))?;
    Ok(Visitor { client, address })
}

/// Accepts a text as the name of a client.
fn client_name(pointer: &str, name: String) -> Result<String, Problem> {
    if name.parse::<SystemName>().is_ok() {
        return Ok(name);
    }
    let detail = "a name has 1 to 64 lower-case letters, digits and hyphens";
    Err(Problem::invalid(vec![FieldError::new(pointer, "invalid", detail)]))
}

impl Api {
    /// Identity, if this deployment has it.
    pub(crate) fn identity(&self) -> Result<&Identity, Problem> {
        self.identity.as_ref().ok_or_else(Problem::not_found)
    }

    /// An answer with this data. Unlike the answer to a command, it has no version and no token.
    fn plain<T: Serialize>(&self, data: T, RequestId(request_id): RequestId) -> Response {
        Envelope { data, meta: Meta::new(request_id, self.clock.now()) }.into_response()
    }

    fn session(&self, tokens: &Tokens, request_id: RequestId) -> Response {
        let data = SessionTokens {
            access_token: tokens.access.text.expose_secret().to_owned(),
            token_type: "Bearer",
            expires_in: tokens.access.lifetime.as_secs(),
            scope: tokens.access.grants.to_string(),
            refresh_token: tokens.refresh.expose_secret().to_owned(),
            refresh_expires_at: tokens.refresh_expires_at,
            user_id: tokens.user_id,
            session_id: tokens.session_id,
        };
        self.plain(data, request_id)
    }
}
