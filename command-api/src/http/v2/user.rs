//! The handlers of `/api/v2/users/{id}` that change a user. The profile and the preferences are
//! below it (`profile.rs`).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::input::schema::EmailAddress;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::application::input::EmptyChange;
use crate::application::use_case::ChangeUserInput;
use crate::http::answer::Changed;
use crate::http::received::Received;
use crate::http::text::PersonName;
use crate::http::{Api, present};

/// The routes of users that only this version has.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(replace, change))
}

/// A user's e-mail address and name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceUserBody {
    /// The e-mail address.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(value_type = PersonName)]
    name: String,
}

/// The changes to a user. Without any, nothing changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeUserBody {
    /// The new e-mail address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = EmailAddress, required = false)]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = PersonName, required = false)]
    name: Option<String>,
}

fn input(user_id: Uuid, email: Option<String>, name: Option<String>) -> ChangeUserInput {
    let empty = EmptyChange::Accepted;
    ChangeUserInput { user_id, email, name, empty, ..ChangeUserInput::default() }
}

/// Replace a user's e-mail address and name.
///
/// The profile and the preferences stay as they are. Another e-mail address of one's own takes a
/// proof, see `askEmailChange`.
#[utoipa::path(
    put, path = "/users/{id}", operation_id = "replaceUser", tag = "users",
        request_body = ReplaceUserBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user is replaced", body = Envelope<Changed>),
        (status = 403, description = "The caller lacks the permission, which `WWW-Authenticate` \
            names, or may change only their own data and names another e-mail address"),
    ),
)]
async fn replace(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ReplaceUserBody>,
) -> Result<Response, Problem> {
    let Received { body: ReplaceUserBody { email, name }, about } = received;
    api.change(input(user_id.get(), Some(email), Some(name)), about).await
}

/// Change a user's e-mail address, name, or both, by a JSON merge patch (RFC 7396).
///
/// A field that the body leaves out stays as it is. Another e-mail address of one's own takes a
/// proof, see `askEmailChange`.
#[utoipa::path(
    patch, path = "/users/{id}", operation_id = "changeUser", tag = "users",
        request_body = ChangeUserBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user is changed", body = Envelope<Changed>),
        (status = 403, description = "The caller lacks the permission, which `WWW-Authenticate` \
            names, or may change only their own data and names another e-mail address"),
    ),
)]
async fn change(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ChangeUserBody>,
) -> Result<Response, Problem> {
    let Received { body: ChangeUserBody { email, name }, about } = received;
    api.change(input(user_id.get(), email, name), about).await
}
