//! The handlers of `/api/vN/orders` and `/api/vN/users/{id}/orders`: placing orders, changing their
//! lines, confirming and cancelling.

use axum::extract::{FromRequest, Request, State};
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::{Id, Integer};
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::shipping::ShippingAddressBody;
use crate::application::use_case::{
    AddOrderLineInput, CancelOrder, ConfirmOrder, ImportOrderInput, LineInput, Orderer,
    PlaceOrderInput, RemoveOrderLine,
};
use crate::http::answer::{Changed, Collection, collection};
use crate::http::object::{objects, optional_object};
use crate::http::received::{Received, ReceivedBare};
use crate::http::text::NewId;
use crate::http::{Api, present};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "orders", description = "Orders and their lines")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(place))
        .routes(routes!(place_for_user))
        .routes(routes!(add_line))
        .routes(routes!(remove_line))
        .routes(routes!(confirm))
        .routes(routes!(cancel))
}

/// The orders in the query API.
pub(in crate::http) const ORDERS: Collection = collection("orders");

/// An order from another system. Nothing of the request is read unless the operator has enabled
/// imports.
pub(in crate::http) struct ReceivedImport<T>(pub(in crate::http) Received<T>);

impl<T> FromRequest<Api> for ReceivedImport<T>
where
    Received<T>: FromRequest<Api, Rejection = Problem>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        ImportOrderInput::check_offered(&api.application.environment)?;
        Ok(Self(Received::from_request(request, api).await?))
    }
}

/// A line of an order, at the current price of the product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LineBody {
    /// The product's id. An unknown product is refused (`product/unknown`), and one whose price is
    /// in another currency than the order's other lines (`currency/mixed`).
    product_id: Id,
    /// The number of units, from 1. The amount of all lines must not be too large
    /// (`money/too-large`).
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 2)]
    quantity: Integer,
}

/// An order to place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrderBody {
    /// The new id of the order, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewId, required = false)]
    id: Option<Id>,
    /// The id of the user who orders. An unknown user is refused (`user/unknown`).
    user_id: Id,
    /// The lines of the order, at the current prices of the products.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    lines: Vec<LineBody>,
    /// Where the order goes. Taxes depend on its country and region.
    #[serde(default, deserialize_with = "optional_object")]
    #[schema(value_type = Option<ShippingAddressBody>, required = false)]
    shipping_address: Option<ShippingAddressBody>,
}

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

impl LineBody {
    const fn input(self) -> LineInput {
        LineInput { product_id: self.product_id.get(), quantity: self.quantity.get() }
    }
}

impl PlaceOrderBody {
    fn input(self) -> PlaceOrderInput {
        let Self { id, user_id, lines, shipping_address } = self;
        let order = PlaceOrderOfUserBody { id, lines, shipping_address };
        order.input(Orderer::Named(user_id.get()))
    }
}

impl PlaceOrderOfUserBody {
    fn input(self, orderer: Orderer) -> PlaceOrderInput {
        PlaceOrderInput {
            id: self.id.map(Id::get),
            orderer,
            lines: self.lines.into_iter().map(LineBody::input).collect(),
            shipping_address: self.shipping_address.map(ShippingAddressBody::input),
        }
    }
}

/// Place an order.
#[utoipa::path(
    post, path = "/orders", operation_id = "placeOrder", tag = "orders",
        request_body = PlaceOrderBody,
    responses((status = 201, description = "The order is placed and pending",
        body = Envelope<Changed>)),
)]
async fn place(
    State(api): State<Api>,
    received: Received<PlaceOrderBody>,
) -> Result<Response, Problem> {
    api.create(received.body.input(), received.about, ORDERS).await
}

/// Place an order for the user.
#[utoipa::path(
    post, path = "/users/{id}/orders", operation_id = "placeOrderOfUser", tag = "orders",
    request_body = PlaceOrderOfUserBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 201, description = "The order is placed and pending",
        body = Envelope<Changed>)),
)]
async fn place_for_user(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<PlaceOrderOfUserBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    api.create(body.input(Orderer::Addressed(user_id.get())), about, ORDERS).await
}

/// Add a line to a pending order, at the current price of the product.
#[utoipa::path(
    post, path = "/orders/{id}/lines", operation_id = "addOrderLine", tag = "orders",
        request_body = LineBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 201, description = "The line is added; Location names the order",
        body = Envelope<Changed>)),
)]
async fn add_line(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<LineBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = AddOrderLineInput { order_id: order_id.get(), line: body.input() };
    api.create(input, about, ORDERS).await
}

/// Remove a line from a pending order.
#[utoipa::path(
    delete, path = "/orders/{id}/lines/{line_id}", operation_id = "removeOrderLine",
        tag = "orders",
    params(("id" = inline(Id), Path, description = "The order's id"), ("line_id" = inline(Id), Path,
        description = "The line's id")),
    responses((status = 200, description = "The line is removed", body = Envelope<Changed>)),
)]
async fn remove_line(
    State(api): State<Api>,
    Path((order_id, line_id)): Path<(Id, Id)>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(RemoveOrderLine { order_id: order_id.get(), line_id: line_id.get() }, received.about)
        .await
}

/// Confirm a pending order, which must have at least one line. It counts as a sale from then on.
/// The shop then reserves its units, charges its payment and ships it. If it cannot, it cancels the
/// order with a reason.
#[utoipa::path(
    post, path = "/orders/{id}/confirm", operation_id = "confirmOrder", tag = "orders",
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The order is confirmed", body = Envelope<Changed>)),
)]
async fn confirm(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(ConfirmOrder { order_id: order_id.get() }, received.about).await
}

/// Cancel an order that is not shipped. Its units are available again, and what was paid is to be
/// refunded.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", operation_id = "cancelOrder", tag = "orders",
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The order is cancelled", body = Envelope<Changed>)),
)]
async fn cancel(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(CancelOrder::asked(order_id.get()), received.about).await
}
