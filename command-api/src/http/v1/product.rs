//! `/api/v1/products`: adding, changing and stocking products.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::schema::currency_of_today;
use service_kit::input::{Id, Integer};
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::application::input::Input;
use crate::application::use_case::{AddProduct, AdjustStock, ChangeProduct, NewPrice};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::received::Received;

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
    /// The currency: one of today's (ISO 4217).
    #[schema(schema_with = currency_of_today)]
    currency: String,
    /// How many there are to begin with.
    #[serde(default)]
    #[schema(value_type = i64, minimum = 0, maximum = 1_000_000_000_000_i64, default = 0)]
    stock: Integer,
}

/// What changes: the name, the price, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeProductBody {
    /// The new name.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(min_length = 1, max_length = 200, nullable = false, example = "compact disc")]
    name: Option<String>,
    /// What one costs from now on, as a decimal string.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(pattern = r"^\d+(\.\d+)?$", nullable = false, example = "9.99")]
    unit_price: Option<String>,
    /// The price's currency: one of today's (ISO 4217); without it, the product's own.
    #[serde(default, deserialize_with = "crate::http::present")]
    #[schema(schema_with = currency_of_today, required = false)]
    currency: Option<String>,
}

/// How the stock changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AdjustStockBody {
    /// How many more, or fewer when negative.
    #[schema(value_type = i64, example = 12)]
    delta: Integer,
}

/// Add a product.
#[utoipa::path(
    post, path = "/api/v1/products", operation_id = "addProduct", tag = "products",
        request_body = AddProductBody,
    responses((status = 201, description = "The product is added", body = Envelope<Changed>)),
)]
pub(super) async fn add(
    State(api): State<Api>,
    received: Received<AddProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let name = input.product_name("/name", &body.name);
    let currency = input.currency_of_today("/currency", &body.currency);
    let unit_price =
        currency.and_then(|currency| input.money("/unit_price", &body.unit_price, currency));
    let stock = input.stock("/stock", body.stock);
    let (Some(name), Some(unit_price), Some(stock)) = (name, unit_price, stock) else {
        return Err(input.problem());
    };
    api.create(
        AddProduct { product_id: Uuid::now_v7(), name, unit_price, stock },
        about,
        "products",
    )
    .await
}

/// Change a product's name, price, or both.
#[utoipa::path(
    patch, path = "/api/v1/products/{id}", operation_id = "changeProduct", tag = "products",
        request_body = ChangeProductBody,
    params(("id" = inline(Id), Path, description = "Which product")),
    responses((status = 200, description = "The product is changed", body = Envelope<Changed>)),
)]
pub(super) async fn change(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<ChangeProductBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let mut input = Input::default();
    let name = body.name.as_deref().and_then(|name| input.product_name("/name", name));
    let price = match (body.unit_price, body.currency) {
        (Some(price), Some(currency)) => {
            let currency = input.currency_of_today("/currency", &currency);
            currency
                .and_then(|currency| input.money("/unit_price", &price, currency))
                .map(NewPrice::Full)
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
    api.change(ChangeProduct { product_id: product_id.get(), name, price }, about).await
}

/// Add to a product's stock, or take from it; it is never negative.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/stock", operation_id = "adjustStock", tag = "products",
        request_body = AdjustStockBody,
    params(("id" = inline(Id), Path, description = "Which product")),
    responses((status = 200, description = "The stock is adjusted", body = Envelope<Changed>)),
)]
pub(super) async fn adjust_stock(
    State(api): State<Api>,
    Path(product_id): Path<Id>,
    received: Received<AdjustStockBody>,
) -> Result<Response, Problem> {
    api.change(
        AdjustStock { product_id: product_id.get(), delta: received.body.delta.get() },
        received.about,
    )
    .await
}
