//! The handlers of `/api/v2/users/{id}/profile` and `/api/v2/users/{id}/preferences`.

use axum::extract::State;
use axum::response::Response;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::application::use_case::{ChangeUserInput, PreferencesInput, ProfileInput};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::received::{About, Received};
use crate::http::resource::user::profile::{PreferencesBody, ProfileBody};

/// The routes of these parts of a user.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(replace_profile, change_profile))
        .routes(routes!(replace_preferences, change_preferences))
}

impl Api {
    async fn change_profile(
        &self,
        user_id: Uuid,
        profile: ProfileInput,
        about: About,
    ) -> Result<Response, Problem> {
        let input =
            ChangeUserInput { user_id, profile: Some(profile), ..ChangeUserInput::default() };
        self.change(input, about).await.map_err(|problem| within("/profile", problem))
    }

    async fn change_preferences(
        &self,
        user_id: Uuid,
        preferences: PreferencesInput,
        about: About,
    ) -> Result<Response, Problem> {
        let preferences = Some(preferences);
        let input = ChangeUserInput { user_id, preferences, ..ChangeUserInput::default() };
        self.change(input, about).await.map_err(|problem| within("/preferences", problem))
    }
}

/// The application has these fields in an object of the user. Here the object is the whole body.
fn within(object: &str, problem: Problem) -> Problem {
    problem.moved(|pointer| pointer.strip_prefix(object).unwrap_or(pointer).to_owned())
}

/// Replace a user's profile. What the body leaves out is empty afterwards.
#[utoipa::path(
    put, path = "/users/{id}/profile", operation_id = "replaceProfile", tag = "users",
        request_body = ProfileBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The profile is replaced", body = Envelope<Changed>)),
)]
async fn replace_profile(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ProfileBody>,
) -> Result<Response, Problem> {
    api.change_profile(user_id.get(), received.body.whole(), received.about).await
}

/// Change a user's profile by a JSON merge patch (RFC 7396).
///
/// A field that the body leaves out stays as it is. `null` empties a field.
#[utoipa::path(
    patch, path = "/users/{id}/profile", operation_id = "changeProfile", tag = "users",
        request_body = ProfileBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The profile is changed", body = Envelope<Changed>)),
)]
async fn change_profile(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ProfileBody>,
) -> Result<Response, Problem> {
    api.change_profile(user_id.get(), received.body.change(), received.about).await
}

/// Replace a user's preferences. What the body leaves out is unset afterwards.
#[utoipa::path(
    put, path = "/users/{id}/preferences", operation_id = "replacePreferences", tag = "users",
        request_body = PreferencesBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The preferences are replaced",
        body = Envelope<Changed>)),
)]
async fn replace_preferences(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<PreferencesBody>,
) -> Result<Response, Problem> {
    api.change_preferences(user_id.get(), received.body.whole(), received.about).await
}

/// Change a user's preferences by a JSON merge patch (RFC 7396).
///
/// A field that the body leaves out stays as it is. `null` unsets a field.
#[utoipa::path(
    patch, path = "/users/{id}/preferences", operation_id = "changePreferences", tag = "users",
        request_body = PreferencesBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The preferences are changed",
        body = Envelope<Changed>)),
)]
async fn change_preferences(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<PreferencesBody>,
) -> Result<Response, Problem> {
    api.change_preferences(user_id.get(), received.body.change(), received.about).await
}
