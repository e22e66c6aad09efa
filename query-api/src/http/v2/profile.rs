//! The handlers of `/api/v2/users/{id}/profile` and `/api/v2/users/{id}/preferences`.

use axum::extract::State;
use axum::response::Response;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::{Failures, RowParams, RowRequest};
use crate::http::live::LiveHeaders;
use crate::http::resource::user;
use crate::view::user::{Preferences, Profile};
use crate::wait::QueryHeaders;

/// The routes of this resource. Its tag is that of users.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(profile)).routes(routes!(preferences))
}

/// Shows the profile of a user.
#[utoipa::path(
    get, path = "/users/{id}/profile", tag = "users", operation_id = "getProfile",
    params(("id" = inline(Id), Path, description = "The user's id"), RowParams, QueryHeaders,
        LiveHeaders),
    responses((status = 200, description = "The profile", body = Envelope<Profile>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn profile(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    user::find(&api, id, request, Profile::from).await
}

/// Shows the preferences of a user.
#[utoipa::path(
    get, path = "/users/{id}/preferences", tag = "users", operation_id = "getPreferences",
    params(("id" = inline(Id), Path, description = "The user's id"), RowParams, QueryHeaders,
        LiveHeaders),
    responses((status = 200, description = "The preferences", body = Envelope<Preferences>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn preferences(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    user::find(&api, id, request, Preferences::from).await
}
