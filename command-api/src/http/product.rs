//! `/api/v1/products`: adding, changing and stocking products.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Api;
use super::answer::Changed;
use super::input::Input;
use super::received::Received;
use crate::use_case::{AddProduct, AdjustStock, ChangeProduct, NewPrice};

/// What comes into the shop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddProductBody {
    /// The name.
    #[schema(min_length = 1, max_length = 200, example = "cd")]
    name: String,
    /// What one costs, as a decimal string.
    #[schema(pattern = r"^\d+(\.\d+)?$", example = "14.67")]
    unit_price: String,
    /// The currency (ISO 4217).
    #[schema(pattern = "^[A-Z]{3}$", example = "USD")]
    currency: String,
    /// How many there are to begin with.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64, default = 0)]
    stock: i64,
}

/// What changes: the name, the price, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeProductBody {
    /// The new name.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(min_length = 1, max_length = 200, nullable = false, example = "compact disc")]
    name: Option<String>,
    /// What one costs from now on, as a decimal string.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(pattern = r"^\d+(\.\d+)?$", nullable = false, example = "9.99")]
    unit_price: Option<String>,
    /// The price's currency (ISO 4217); without it, the product's own.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(pattern = "^[A-Z]{3}$", nullable = false, example = "USD")]
    currency: Option<String>,
}

/// How the stock changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdjustStockBody {
    /// How many more, or fewer when negative.
    #[schema(example = 12)]
    delta: i64,
}

/// Add a product.
#[utoipa::path(
    post, path = "/api/v1/products", operation_id = "addProduct", tag = "products", request_body = AddProductBody,
    responses((status = 201, description = "The product is added", body = Envelope<Changed>)),
)]
pub(super) async fn add(State(api): State<Api>, received: Received<AddProductBody>) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let name = input.product_name("/name", &body.name);
    let currency = input.currency("/currency", &body.currency);
    let unit_price = currency.and_then(|currency| input.money("/unit_price", &body.unit_price, currency));
    let stock = input.stock("/stock", body.stock);
    let (Some(name), Some(unit_price), Some(stock)) = (name, unit_price, stock) else { return Err(input.problem()) };
    api.create(AddProduct { product_id: Uuid::now_v7(), name, unit_price, stock }, about, "products").await
}

/// Change a product's name, price, or both.
#[utoipa::path(
    patch, path = "/api/v1/products/{id}", operation_id = "changeProduct", tag = "products", request_body = ChangeProductBody,
    params(("id" = Uuid, Path, description = "Which product")),
    responses((status = 200, description = "The product is changed", body = Envelope<Changed>)),
)]
pub(super) async fn change(
    State(api): State<Api>,
    Path(product_id): Path<Uuid>,
    received: Received<ChangeProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let name = body.name.as_deref().and_then(|name| input.product_name("/name", name));
    let price = match (body.unit_price, body.currency) {
        (Some(price), Some(currency)) => {
            let currency = input.currency("/currency", &currency);
            currency.and_then(|currency| input.money("/unit_price", &price, currency)).map(NewPrice::Full)
        }
        (Some(price), None) => Some(NewPrice::InOwnCurrency(price)),
        (None, Some(_)) => {
            input.wrong("/unit_price", "missing", "a currency goes with a price");
            None
        }
        (None, None) => {
            if body.name.is_none() {
                input.wrong("", "nothing-to-change", "name the name, the unit_price, or both");
            }
            None
        }
    };
    input.check()?;
    api.change(ChangeProduct { product_id, name, price }, about).await
}

/// Add to a product's stock, or take from it; it is never negative.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/stock", operation_id = "adjustStock", tag = "products", request_body = AdjustStockBody,
    params(("id" = Uuid, Path, description = "Which product")),
    responses((status = 200, description = "The stock is adjusted", body = Envelope<Changed>)),
)]
pub(super) async fn adjust_stock(
    State(api): State<Api>,
    Path(product_id): Path<Uuid>,
    received: Received<AdjustStockBody>,
) -> Result<Response, Problem> {
    api.change(AdjustStock { product_id, delta: received.body.delta }, received.about).await
}
