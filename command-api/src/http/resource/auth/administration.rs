//! The handlers of `/api/vN/auth/users/{id}`: roles, sessions and API keys of a user.

use access::{Caller, RoleName};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use identity::gate::RequestCaller;
use serde::Serialize;
use service_kit::extract::{Path, Query};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Nothing;
use super::api_key::ApiKey;
use crate::auth::user_access::{ListedSession, RoleChange};
use crate::http::Api;

/// The routes of administration.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_roles))
        .routes(routes!(grant_role, revoke_role))
        .routes(routes!(list_sessions))
        .routes(routes!(end_session))
        .routes(routes!(list_keys))
        .routes(routes!(revoke_key))
}

/// The name of a role.
#[derive(Serialize, ToSchema)]
#[serde(transparent)]
#[schema(as = RoleName, example = "support")]
struct ListedRole(String);

/// A session of a user.
#[derive(Serialize, ToSchema)]
struct Session {
    /// The session's id.
    id: Uuid,
    /// The name of the frontend, as it gave it at the log-in.
    client: String,
    /// The network address where it was begun; null if it is not known, or no longer kept.
    #[schema(required = true)]
    address: Option<String>,
    /// When it was begun.
    created_at: DateTime<Utc>,
    /// When it was last refreshed.
    used_at: DateTime<Utc>,
    /// When it ended; null if it has not.
    #[schema(required = true)]
    ended_at: Option<DateTime<Utc>>,
    /// Why it ended, such as `logged-out`; null if it has not.
    #[schema(required = true)]
    ended_why: Option<String>,
}

impl From<ListedSession> for Session {
    fn from(session: ListedSession) -> Self {
        Self {
            id: session.session_id,
            client: session.client,
            address: session.address,
            created_at: session.created_at,
            used_at: session.used_at,
            ended_at: session.ended_at,
            ended_why: session.ended_why,
        }
    }
}

/// List the roles of a user. You need `access:manage`.
#[utoipa::path(
    get, path = "/auth/users/{id}/roles", operation_id = "listRoles", tag = "auth",
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses(
        (status = 200, description = "The names of the roles", body = Envelope<Vec<ListedRole>>),
        (status = 403, description = "You may not manage access"),
    ),
)]
async fn list_roles(
    State(api): State<Api>,
    Path(user): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
) -> Result<Response, Problem> {
    let roles = api.identity()?.roles(&caller, user.get()).await?;
    let roles: Vec<_> = roles.into_iter().map(ListedRole).collect();
    Ok(api.plain(roles, request_id))
}

/// Give a user a role. You must hold all rights of the role.
#[utoipa::path(
    put, path = "/auth/users/{id}/roles/{role}", operation_id = "grantRole", tag = "auth",
    params(
        ("id" = inline(Id), Path, description = "The user's id"),
        ("role" = String, Path, description = "The name of the role", example = "support"),
    ),
    responses(
        (status = 204, description = "The user has the role"),
        (status = 403, description = "You may not manage access, or hold less than the role"),
    ),
)]
async fn grant_role(
    State(api): State<Api>,
    Path((user, role)): Path<(Id, String)>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
) -> Result<Response, Problem> {
    change_role(&api, &caller, (user, &role), RoleChange::Grant).await
}

/// Take a role from a user. You must hold all rights of the role. The last administrator keeps the
/// role.
#[utoipa::path(
    delete, path = "/auth/users/{id}/roles/{role}", operation_id = "revokeRole", tag = "auth",
    params(
        ("id" = inline(Id), Path, description = "The user's id"),
        ("role" = String, Path, description = "The name of the role", example = "support"),
    ),
    responses(
        (status = 204, description = "The user does not have the role"),
        (status = 403, description = "You may not manage access, or hold less than the role"),
        (status = 409, description = "Nobody would be an administrator any more"),
    ),
)]
async fn revoke_role(
    State(api): State<Api>,
    Path((user, role)): Path<(Id, String)>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
) -> Result<Response, Problem> {
    change_role(&api, &caller, (user, &role), RoleChange::Revoke).await
}

async fn change_role(
    api: &Api,
    caller: &Caller,
    (user, role): (Id, &str),
    change: RoleChange,
) -> Result<Response, Problem> {
    // No role has a malformed name.
    let role: RoleName = role.parse().map_err(|_| Problem::not_found())?;
    api.identity()?.change_role(caller, user.get(), &role, change).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// List the sessions of a user, the newest first. For the sessions of others you need
/// `access:manage`.
#[utoipa::path(
    get, path = "/auth/users/{id}/sessions", operation_id = "listSessions", tag = "auth",
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses(
        (status = 200, description = "The sessions", body = Envelope<Vec<Session>>),
    ),
)]
async fn list_sessions(
    State(api): State<Api>,
    Path(user): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
) -> Result<Response, Problem> {
    let sessions = api.identity()?.sessions(&caller, user.get()).await?;
    let sessions: Vec<Session> = sessions.into_iter().map(Session::from).collect();
    Ok(api.plain(sessions, request_id))
}

/// End a session of a user. For the sessions of others you need `access:manage`.
#[utoipa::path(
    delete, path = "/auth/users/{id}/sessions/{session_id}", operation_id = "endSession",
    tag = "auth",
    params(
        ("id" = inline(Id), Path, description = "The user's id"),
        ("session_id" = inline(Id), Path, description = "The session's id"),
    ),
    responses(
        (status = 204, description = "The session has ended"),
    ),
)]
async fn end_session(
    State(api): State<Api>,
    Path((user, session)): Path<(Id, Id)>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
) -> Result<Response, Problem> {
    api.identity()?.end_session(&caller, user.get(), session.get()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// List the API keys of a user, the newest first. For the keys of others you need `access:manage`.
#[utoipa::path(
    get, path = "/auth/users/{id}/api-keys", operation_id = "listUserApiKeys", tag = "auth",
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses(
        (status = 200, description = "The keys", body = Envelope<Vec<ApiKey>>),
    ),
)]
async fn list_keys(
    State(api): State<Api>,
    Path(user): Path<Id>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
    request_id: RequestId,
) -> Result<Response, Problem> {
    let keys = api.identity()?.user_keys(&caller, user.get()).await?;
    let keys: Vec<ApiKey> = keys.into_iter().map(ApiKey::from).collect();
    Ok(api.plain(keys, request_id))
}

/// Revoke an API key of a user. For the keys of others you need `access:manage`.
#[utoipa::path(
    delete, path = "/auth/users/{id}/api-keys/{key_id}", operation_id = "revokeUserApiKey",
    tag = "auth",
    params(
        ("id" = inline(Id), Path, description = "The user's id"),
        ("key_id" = inline(Id), Path, description = "The key's id"),
    ),
    responses(
        (status = 204, description = "The key is revoked"),
    ),
)]
async fn revoke_key(
    State(api): State<Api>,
    Path((user, key)): Path<(Id, Id)>,
    Query(Nothing {}): Query<Nothing>,
    RequestCaller(caller): RequestCaller,
) -> Result<Response, Problem> {
    api.identity()?.revoke_user_key(&caller, user.get(), key.get()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
