//! The handler of `/api/v1/orders/import`: one currency for all prices of the order.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::input::{Id, Integer, Time};
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{ImportOrderInput, ImportedLineInput};
use crate::http::answer::Changed;
use crate::http::object::objects;
use crate::http::resource::order::{ORDERS, ReceivedImport};
use crate::http::text::NewId;
use crate::http::{Api, present};

/// The routes of orders that only this version has.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(import))
}

/// A line of an imported order, with its original price.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportLineBody {
    /// The product's id. An unknown product is refused (`product/unknown`).
    product_id: Id,
    /// The number of units, from 1.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 1)]
    quantity: Integer,
    /// The price of one unit, as a decimal string; `0.00` if it was free.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "14.67")]
    unit_price: String,
}

/// An order from another system.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportOrderBody {
    /// The new id of the order, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewId, required = false)]
    id: Option<Id>,
    /// The id of the user who ordered. An unknown user is refused (`user/unknown`).
    user_id: Id,
    /// The original time of the order: not before 1900 (`too-early`), and not in the future
    /// (`in-the-future`).
    ordered_at: Time,
    /// The currency of all prices. It may be any that ISO 4217 lists or once listed.
    #[schema(value_type = CurrencyOfAnyTime)]
    currency: String,
    /// The lines of the order, with their original prices.
    #[schema(min_items = 1, max_items = 100)]
    #[serde(deserialize_with = "objects")]
    lines: Vec<ImportLineBody>,
}

impl ImportOrderBody {
    fn input(self) -> ImportOrderInput {
        ImportOrderInput {
            id: self.id.map(Id::get),
            user_id: self.user_id.get(),
            ordered_at: self.ordered_at.get(),
            currency: Some(self.currency),
            lines: self.lines.into_iter().map(ImportLineBody::input).collect(),
        }
    }
}

impl ImportLineBody {
    fn input(self) -> ImportedLineInput {
        ImportedLineInput {
            product_id: self.product_id.get(),
            quantity: self.quantity.get(),
            unit_price: self.unit_price,
            currency: None,
        }
    }
}

/// Import an order from another system, with its original prices and date.
///
/// The order is pending and is confirmed like any other. It then counts for its original day. The
/// answer is 404 unless the operator has enabled imports.
#[utoipa::path(
    post, path = "/orders/import", operation_id = "importOrder", tag = "orders",
        request_body = ImportOrderBody,
    responses((status = 201, description = "The order is imported and pending",
        body = Envelope<Changed>)),
)]
async fn import(
    State(api): State<Api>,
    ReceivedImport(received): ReceivedImport<ImportOrderBody>,
) -> Result<Response, Problem> {
    api.create(received.body.input(), received.about, ORDERS).await
}
