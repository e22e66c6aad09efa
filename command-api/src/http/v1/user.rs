//! `/api/v1/users`: registering, changing and deactivating users, and their orders.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::input::schema::email_address;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::order::{LineBody, lines};
use crate::application::input::Input;
use crate::application::use_case::{ChangeUser, DeactivateUser, Orderer, PlaceOrder, RegisterUser};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::object::objects;
use crate::http::received::{Received, ReceivedBare};

/// Who wants to be a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterUserBody {
    /// The e-mail address; one user per address, letters of any case being one address.
    #[schema(schema_with = email_address)]
    email: String,
    /// The name.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    name: String,
}

/// What changes: at least one of both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeUserBody {
    /// The new e-mail address.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(schema_with = email_address, required = false)]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(min_length = 1, max_length = 200, nullable = false, example = "Ada King")]
    name: Option<String>,
}

/// An order of the user in the path.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceOrderOfUserBody {
    /// What is ordered, at the products' prices of now.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    lines: Vec<LineBody>,
}

/// Register a user.
#[utoipa::path(
    post, path = "/api/v1/users", operation_id = "registerUser", tag = "users",
        request_body = RegisterUserBody,
    responses((status = 201, description = "The user is registered", body = Envelope<Changed>)),
)]
pub(super) async fn register(
    State(api): State<Api>,
    received: Received<RegisterUserBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let (email, name) =
        (input.email("/email", &body.email), input.person_name("/name", &body.name));
    let (Some(email), Some(name)) = (email, name) else { return Err(input.problem()) };
    let use_case = RegisterUser {
        user_id: Uuid::now_v7(),
        email,
        name,
        reservations: api.reservations.clone(),
    };
    api.create(use_case, about, "users").await
}

/// Change a user's name, e-mail address, or both.
#[utoipa::path(
    patch, path = "/api/v1/users/{id}", operation_id = "changeUser", tag = "users",
        request_body = ChangeUserBody,
    params(("id" = inline(Id), Path, description = "Which user")),
    responses((status = 200, description = "The user is changed", body = Envelope<Changed>)),
)]
pub(super) async fn change(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ChangeUserBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let email = body.email.as_deref().and_then(|email| input.email("/email", email));
    let name = body.name.as_deref().and_then(|name| input.person_name("/name", name));
    if body.email.is_none() && body.name.is_none() {
        input.wrong("", "nothing-to-change", "name the email, the name, or both");
    }
    input.check()?;
    api.change(
        ChangeUser { user_id: user_id.get(), email, name, reservations: api.reservations.clone() },
        about,
    )
    .await
}

/// Deactivate a user, for good; the e-mail address is free again, and pending orders can still be
/// confirmed or cancelled.
#[utoipa::path(
    delete, path = "/api/v1/users/{id}", operation_id = "deactivateUser", tag = "users",
    params(("id" = inline(Id), Path, description = "Which user")),
    responses((status = 200, description = "The user is deactivated", body = Envelope<Changed>)),
)]
pub(super) async fn deactivate(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(
        DeactivateUser { user_id: user_id.get(), reservations: api.reservations.clone() },
        received.about,
    )
    .await
}

/// Place an order of the user.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/orders", operation_id = "placeOrderOfUser", tag = "orders",
    request_body = PlaceOrderOfUserBody,
    params(("id" = inline(Id), Path, description = "Which user")),
    responses((status = 201, description = "The order is placed, pending",
        body = Envelope<Changed>)),
)]
pub(super) async fn place_order(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<PlaceOrderOfUserBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let use_case = PlaceOrder {
        order_id: Uuid::now_v7(),
        orderer: Orderer::InPath(user_id.get()),
        lines: lines(&body.lines)?,
    };
    api.create(use_case, about, "orders").await
}
