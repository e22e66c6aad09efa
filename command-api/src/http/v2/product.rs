//! The handlers of `/api/v2/products`: adding and changing products, and correcting their stock. A
//! price is an object.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::{Id, Integer};
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::money::{Money, UNIT_PRICE};
use crate::application::input::EmptyChange;
use crate::application::use_case::{AddProductInput, ChangeProductInput};
use crate::http::answer::Changed;
use crate::http::object::{Object, object};
use crate::http::received::Received;
use crate::http::resource::product::{AdjustStockBody, PRODUCTS};
use crate::http::text::{NewId, ProductName};
use crate::http::{Api, present};

/// The routes of products that only this version has.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(add))
        .routes(routes!(replace, change))
        .routes(routes!(adjust_stock))
}

/// A product to add.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddProductBody {
    /// The new id of the product, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewId, required = false)]
    id: Option<Id>,
    /// The product's name.
    #[schema(value_type = ProductName)]
    name: String,
    /// The price of one unit.
    #[serde(deserialize_with = "object")]
    unit_price: Money,
    /// The initial stock, in units.
    #[serde(default)]
    #[schema(value_type = i64, minimum = 0, maximum = 1_000_000_000_000_i64, default = 0)]
    stock: Integer,
}

/// The changes to a product: its name, its price, or both. Without either, nothing changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeProductBody {
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ProductName, required = false)]
    name: Option<String>,
    /// The new price of one unit.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Money, required = false)]
    unit_price: Option<Object<Money>>,
}

/// A product as a whole, without its stock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceProductBody {
    /// The product's name.
    #[schema(value_type = ProductName)]
    name: String,
    /// The price of one unit.
    #[serde(deserialize_with = "object")]
    unit_price: Money,
}

/// Add a product.
#[utoipa::path(
    post, path = "/products", operation_id = "addProduct", tag = "products",
        request_body = AddProductBody,
    responses((status = 201, description = "The product is added", body = Envelope<Changed>)),
)]
async fn add(
    State(api): State<Api>,
    received: Received<AddProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let AddProductBody { id, name, unit_price: Money { amount, currency }, stock } = body;
    let (id, stock) = (id.map(Id::get), stock.get());
    let input = AddProductInput { id, name, unit_price: amount, currency, stock };
    api.create(input, about, PRODUCTS).await.map_err(|problem| UNIT_PRICE.nest(problem))
}

/// Replace a product's name and price. The stock stays as it is.
#[utoipa::path(
    put, path = "/products/{id}", operation_id = "replaceProduct", tag = "products",
        request_body = ReplaceProductBody,
    params(("id" = inline(Id), Path, description = "The product's id")),
    responses((status = 200, description = "The product is replaced", body = Envelope<Changed>)),
)]
async fn replace(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<ReplaceProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = ChangeProductInput {
        product_id: product_id.get(),
        name: Some(body.name),
        unit_price: Some(body.unit_price.amount),
        currency: Some(body.unit_price.currency),
        empty: EmptyChange::Accepted,
    };
    api.change(input, about).await.map_err(|problem| UNIT_PRICE.nest(problem))
}

/// Change a product's name, price, or both, by a JSON merge patch (RFC 7396).
#[utoipa::path(
    patch, path = "/products/{id}", operation_id = "changeProduct", tag = "products",
        request_body = ChangeProductBody,
    params(("id" = inline(Id), Path, description = "The product's id")),
    responses((status = 200, description = "The product is changed", body = Envelope<Changed>)),
)]
async fn change(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<ChangeProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let ChangeProductBody { name, unit_price } = body;
    let (unit_price, currency) =
        unit_price.map(|Object(Money { amount, currency })| (amount, currency)).unzip();
    let (product_id, empty) = (product_id.get(), EmptyChange::Accepted);
    let input = ChangeProductInput { product_id, name, unit_price, currency, empty };
    api.change(input, about).await.map_err(|problem| UNIT_PRICE.nest(problem))
}

/// Correct a product's stock, for example after it was counted. Reserved units cannot be taken.
#[utoipa::path(
    post, path = "/products/{id}/stock/adjust", operation_id = "adjustStock", tag = "products",
        request_body = AdjustStockBody,
    params(("id" = inline(Id), Path, description = "The product's id")),
    responses((status = 200, description = "The stock is adjusted", body = Envelope<Changed>)),
)]
async fn adjust_stock(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<AdjustStockBody>,
) -> Result<Response, Problem> {
    api.change(received.body.input(product_id.get()), received.about).await
}
