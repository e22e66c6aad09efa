//! The handlers of `/api/vN/products`: the rate class and the stock. Adding and changing products
//! differs from one version to the next.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::{Id, Integer};
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::application::use_case::{
    AdjustStock, ClassifyProductInput, MoveStockInput, ReceiveStockInput,
};
use crate::http::Api;
use crate::http::answer::{Changed, Collection, collection};
use crate::http::received::Received;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "products", description = "Products for sale")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(classify))
        .routes(routes!(receive_stock))
        .routes(routes!(move_stock))
}

/// The products in the query API.
pub(in crate::http) const PRODUCTS: Collection = collection("products");

/// The rate class of a product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RateClassBody {
    /// The class: `standard`, `reduced` or `zero`. Every product is standard at first.
    #[schema(pattern = "^(standard|reduced|zero)$", example = "reduced")]
    rate_class: String,
}

/// A correction of a product's stock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AdjustStockBody {
    /// The number of units to add, or to remove if negative.
    #[schema(value_type = i64, example = 12)]
    delta: Integer,
}

impl AdjustStockBody {
    pub(in crate::http) const fn input(self, product_id: Uuid) -> AdjustStock {
        AdjustStock { product_id, delta: self.delta.get() }
    }
}

/// Units of a product that arrived.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReceiveStockBody {
    /// The number of units.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000_000_i64, example = 12)]
    quantity: Integer,
}

/// Units to move to the stock of another product.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveStockBody {
    /// The id of the product that gets the units. It is another one (`product/same`), and the shop
    /// has it (`product/unknown`).
    to_product_id: Id,
    /// The number of units.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000_000_i64, example = 12)]
    quantity: Integer,
}

/// Say which rate class a product has. Taxes depend on it. Orders that are confirmed already keep
/// their prices.
#[utoipa::path(
    put, path = "/products/{id}/rate-class", operation_id = "classifyProduct", tag = "products",
        request_body = RateClassBody,
    params(("id" = inline(Id), Path, description = "The product's id")),
    responses((status = 200, description = "The product is of this class",
        body = Envelope<Changed>)),
)]
async fn classify(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<RateClassBody>,
) -> Result<Response, Problem> {
    let Received { body: RateClassBody { rate_class }, about } = received;
    api.change(ClassifyProductInput { product_id: product_id.get(), rate_class }, about).await
}

/// Add units that arrived to a product's stock.
#[utoipa::path(
    post, path = "/products/{id}/stock/receive", operation_id = "receiveStock", tag = "products",
        request_body = ReceiveStockBody,
    params(("id" = inline(Id), Path, description = "The product's id")),
    responses((status = 200, description = "The units are in stock", body = Envelope<Changed>)),
)]
async fn receive_stock(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<ReceiveStockBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let (product_id, quantity) = (product_id.get(), body.quantity.get());
    api.change(ReceiveStockInput { product_id, quantity }, about).await
}

/// Move available units to the stock of another product, both or none.
#[utoipa::path(
    post, path = "/products/{id}/stock/move", operation_id = "moveStock", tag = "products",
        request_body = MoveStockBody,
    params(("id" = inline(Id), Path, description = "The id of the product that loses the units")),
    responses((status = 200, description = "The units are moved", body = Envelope<Changed>)),
)]
async fn move_stock(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<MoveStockBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let (product_id, to_product_id) = (product_id.get(), body.to_product_id.get());
    let quantity = body.quantity.get();
    api.change(MoveStockInput { product_id, to_product_id, quantity }, about).await
}
