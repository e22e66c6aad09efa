//! The handlers of `/api/v1/users`: registering, changing and deactivating users, and placing their
//! orders.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::input::schema::email_address;
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::collection;
use super::order::{LineBody, ORDERS, lines};
use crate::application::use_case::{
    ChangeUserInput, DeactivateUserInput, Orderer, PlaceOrderInput, RegisterUserInput,
};
use crate::http::answer::{Changed, Collection};
use crate::http::object::objects;
use crate::http::received::{Received, ReceivedBare};
use crate::http::{Api, present};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "users", description = "Users who may order")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(register))
        .routes(routes!(change, deactivate))
        .routes(routes!(place_order))
}

/// The users in the query API.
const USERS: Collection = collection("users");

/// A user to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterUserBody {
    /// The e-mail address. Each address belongs to one user. Upper and lower case are the same.
    #[schema(schema_with = email_address)]
    email: String,
    /// The person's name.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    name: String,
}

/// The changes to a user: the e-mail address, the name, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeUserBody {
    /// The new e-mail address.
    #[serde(default, deserialize_with = "present")]
    #[schema(schema_with = email_address, required = false)]
    email: Option<String>,
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(min_length = 1, max_length = 200, nullable = false, example = "Ada King")]
    name: Option<String>,
}

/// An order to place for the user in the path.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrderOfUserBody {
    /// The lines of the order, at the current prices of the products.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    lines: Vec<LineBody>,
}

/// Register a user.
#[utoipa::path(
    post, path = "/users", operation_id = "registerUser", tag = "users",
        request_body = RegisterUserBody,
    responses((status = 201, description = "The user is registered", body = Envelope<Changed>)),
)]
async fn register(
    State(api): State<Api>,
    received: Received<RegisterUserBody>,
) -> Result<Response, Problem> {
    let Received { body: RegisterUserBody { email, name }, about } = received;
    api.create(RegisterUserInput { email, name }, about, USERS).await
}

/// Change a user's name, e-mail address, or both.
#[utoipa::path(
    patch, path = "/users/{id}", operation_id = "changeUser", tag = "users",
        request_body = ChangeUserBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The user is changed", body = Envelope<Changed>)),
)]
async fn change(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<ChangeUserBody>,
) -> Result<Response, Problem> {
    let Received { body: ChangeUserBody { email, name }, about } = received;
    api.change(ChangeUserInput { user_id: user_id.get(), email, name }, about).await
}

/// Deactivate a user permanently.
///
/// The e-mail address becomes free again, and pending orders can still be confirmed or cancelled.
#[utoipa::path(
    delete, path = "/users/{id}", operation_id = "deactivateUser", tag = "users",
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The user is deactivated", body = Envelope<Changed>)),
)]
async fn deactivate(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(DeactivateUserInput { user_id: user_id.get() }, received.about).await
}

/// Place an order for the user.
#[utoipa::path(
    post, path = "/users/{id}/orders", operation_id = "placeOrderOfUser", tag = "orders",
    request_body = PlaceOrderOfUserBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 201, description = "The order is placed and pending",
        body = Envelope<Changed>)),
)]
async fn place_order(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<PlaceOrderOfUserBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input =
        PlaceOrderInput { orderer: Orderer::Addressed(user_id.get()), lines: lines(body.lines) };
    api.create(input, about, ORDERS).await
}
