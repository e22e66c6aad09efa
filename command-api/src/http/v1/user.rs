//! The handlers of `/api/v1/users/{id}` that change a user, with the profile and the preferences.

use axum::extract::State;
use axum::response::Response;
use domain::user::Change;
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
use crate::http::object::{Object, object};
use crate::http::received::Received;
use crate::http::resource::user::profile::{PreferencesBody, ProfileBody};
use crate::http::text::PersonName;
use crate::http::{Api, present, unsettable};

/// The routes of users that only this version has.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(replace, change))
}

/// What a user says about themselves, as a whole.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceUserBody {
    /// The e-mail address.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(value_type = PersonName)]
    name: String,
    /// The profile. Without it, the profile is empty afterwards.
    #[serde(default, deserialize_with = "object")]
    profile: ProfileBody,
    /// The preferences. Without them, there are none afterwards.
    #[serde(default, deserialize_with = "object")]
    preferences: PreferencesBody,
}

/// The changes to a user. It names at least one field (`nothing-to-change`).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
struct ChangeUserBody {
    /// The new e-mail address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = EmailAddress, required = false)]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = PersonName, required = false)]
    name: Option<String>,
    /// The changes to the profile. `null` empties it.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<ProfileBody>, required = false)]
    profile: Change<Object<ProfileBody>>,
    /// The changes to the preferences. `null` unsets all of them.
    #[serde(default, deserialize_with = "unsettable")]
    #[schema(value_type = Option<PreferencesBody>, required = false)]
    preferences: Change<Object<PreferencesBody>>,
}

impl ReplaceUserBody {
    fn input(self, user_id: Uuid) -> ChangeUserInput {
        let Self { email, name, profile, preferences } = self;
        ChangeUserInput {
            user_id,
            email: Some(email),
            name: Some(name),
            profile: Some(profile.whole()),
            preferences: Some(preferences.whole()),
            empty: EmptyChange::Refused,
        }
    }
}

impl ChangeUserBody {
    fn input(self, user_id: Uuid) -> ChangeUserInput {
        let Self { email, name, profile, preferences } = self;
        let profile = match profile {
            Change::Keep => None,
            Change::Clear => Some(ProfileBody::default().whole()),
            Change::Set(Object(profile)) => Some(profile.change()),
        };
        let preferences = match preferences {
            Change::Keep => None,
            Change::Clear => Some(PreferencesBody::default().whole()),
            Change::Set(Object(preferences)) => Some(preferences.change()),
        };
        let empty = EmptyChange::Refused;
        ChangeUserInput { user_id, email, name, profile, preferences, empty }
    }
}

/// Replace what a user says about themselves.
///
/// What the body leaves out is empty afterwards. Addresses, the type of the customer and the status
/// stay as they are. Another e-mail address of one's own takes a proof, see `askEmailChange`.
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
    api.change(received.body.input(user_id.get()), received.about).await
}

/// Change a user by a JSON merge patch (RFC 7396).
///
/// A field that the body leaves out stays as it is. `null` empties one that can be empty. Another
/// e-mail address of one's own takes a proof, see `askEmailChange`.
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
    api.change(received.body.input(user_id.get()), received.about).await
}
