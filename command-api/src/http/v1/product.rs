//! The handlers of `/api/v1/products`: adding and changing products, and correcting their stock.
//! The currency is next to the price.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::schema::CurrencyOfToday;
use service_kit::input::{Id, Integer};
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::input::EmptyChange;
use crate::application::use_case::{AddProductInput, ChangeProductInput};
use crate::http::answer::Changed;
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
    /// The price of one unit, as a decimal string.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "14.67")]
    unit_price: String,
    /// The currency of the price. It must be on the current ISO 4217 list.
    #[schema(value_type = CurrencyOfToday)]
    currency: String,
    /// The initial stock, in units.
    #[serde(default)]
    #[schema(value_type = i64, minimum = 0, maximum = 1_000_000_000_000_i64, default = 0)]
    stock: Integer,
}

/// The changes to a product: its name, its price, or both (`nothing-to-change`).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
struct ChangeProductBody {
    /// The new name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ProductName, required = false)]
    name: Option<String>,
    /// The new price of one unit, as a decimal string.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[serde(default, deserialize_with = "present")]
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", nullable = false, example = "9.99")]
    unit_price: Option<String>,
    /// The currency of the new price. It must be on the current ISO 4217 list. The default is the
    /// product's own currency. Without a price, there is none (`missing`).
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = CurrencyOfToday, required = false)]
    currency: Option<String>,
}

/// A product as a whole, without its stock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplaceProductBody {
    /// The product's name.
    #[schema(value_type = ProductName)]
    name: String,
    /// The price of one unit, as a decimal string.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "9.99")]
    unit_price: String,
    /// The currency of the price. It must be on the current ISO 4217 list.
    #[schema(value_type = CurrencyOfToday)]
    currency: String,
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
    let AddProductBody { id, name, unit_price, currency, stock } = body;
    let id = id.map(Id::get);
    let input = AddProductInput { id, name, unit_price, currency, stock: stock.get() };
    api.create(input, about, PRODUCTS).await
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
        unit_price: Some(body.unit_price),
        currency: Some(body.currency),
        empty: EmptyChange::Refused,
    };
    api.change(input, about).await
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
    let ChangeProductBody { name, unit_price, currency } = body;
    let (product_id, empty) = (product_id.get(), EmptyChange::Refused);
    api.change(ChangeProductInput { product_id, name, unit_price, currency, empty }, about).await
}

/// Correct a product's stock, for example after it was counted. Reserved units cannot be taken.
#[utoipa::path(
    post, path = "/products/{id}/stock", operation_id = "adjustStock", tag = "products",
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
