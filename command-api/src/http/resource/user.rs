//! The handlers of `/api/vN/users`: registering, deactivating and reactivating users, and placing
//! their orders. Changing them differs from one version to the next.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::order::{LineBody, ORDERS, lines};
use super::shipping::ShippingAddressBody;
use crate::application::use_case::{
    DeactivateUserInput, Orderer, PlaceOrderInput, ReactivateUserInput,
};
use crate::http::answer::{Changed, Collection, collection};
use crate::http::object::{objects, optional_object};
use crate::http::received::{Received, ReceivedBare};
use crate::http::text::NewId;
use crate::http::{Api, present};

mod address;
mod body;
pub(in crate::http) mod profile;

use body::{CustomerTypeBody, RegisterUserBody};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "users", description = "Users who may order")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(register))
        .routes(routes!(deactivate))
        .routes(routes!(reactivate))
        .routes(routes!(classify))
        .routes(routes!(place_order))
        .merge(address::routes())
}

/// The users in the query API.
const USERS: Collection = collection("users");

/// An order to place for the user in the path.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrderOfUserBody {
    /// The new id of the order, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewId, required = false)]
    id: Option<Id>,
    /// The lines of the order, at the current prices of the products.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    lines: Vec<LineBody>,
    /// Where the order goes. Taxes depend on its country and region.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(value_type = Option<ShippingAddressBody>, required = false)]
    shipping_address: Option<ShippingAddressBody>,
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
    api.create(received.body.input(), received.about, USERS).await
}

/// Deactivate a user.
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

/// Reactivate a deactivated user.
///
/// The answer is 409 if another user has the e-mail address by now, or the user's personal data was
/// erased.
#[utoipa::path(
    post, path = "/users/{id}/reactivate", operation_id = "reactivateUser", tag = "users",
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The user is active", body = Envelope<Changed>)),
)]
async fn reactivate(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(ReactivateUserInput { user_id: user_id.get() }, received.about).await
}

/// Say what type of customer a user is. Discounts depend on it.
#[utoipa::path(
    put, path = "/users/{id}/customer-type", operation_id = "classifyUser", tag = "users",
        request_body = CustomerTypeBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 200, description = "The user is of this type", body = Envelope<Changed>)),
)]
async fn classify(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<CustomerTypeBody>,
) -> Result<Response, Problem> {
    api.change(received.body.input(user_id.get()), received.about).await
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
    let input = PlaceOrderInput {
        id: body.id.map(Id::get),
        orderer: Orderer::Addressed(user_id.get()),
        lines: lines(body.lines),
        shipping_address: body.shipping_address.map(ShippingAddressBody::input),
    };
    api.create(input, about, ORDERS).await
}
