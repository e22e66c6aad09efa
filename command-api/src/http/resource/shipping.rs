//! The shipping address of an order: its body, and the handler of
//! `/api/vN/orders/{id}/shipping-address`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{AddressInput, SetShippingAddressInput};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::received::Received;
use crate::http::text::{City, CountryCode, Recipient, Street};

/// The routes of this part of the resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(set))
}

/// Where an order goes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ShippingAddressBody {
    /// The person or company that receives.
    #[schema(value_type = Recipient)]
    recipient: String,
    /// The street with the number of the house, or a post-office box.
    #[schema(value_type = Street)]
    street: String,
    /// The city or town.
    #[schema(value_type = City)]
    city: String,
    /// The postal code, where the country has one.
    #[serde(default)]
    #[schema(
        required = false,
        min_length = 1,
        max_length = 12,
        example = "1010",
        pattern = "^[A-Za-z0-9]([A-Za-z0-9 -]*[A-Za-z0-9])?$"
    )]
    postal_code: Option<String>,
    /// The country, a code of ISO 3166-1 alpha-2.
    #[schema(value_type = CountryCode)]
    country: String,
    /// The region of the country, where taxes depend on it: the second part of a code of
    /// ISO 3166-2.
    #[serde(default)]
    #[schema(required = false, pattern = "^[A-Z0-9]{1,3}$", example = "9")]
    region: Option<String>,
}

impl ShippingAddressBody {
    pub(super) fn input(self) -> AddressInput {
        let Self { recipient, street, city, postal_code, country, region } = self;
        AddressInput { label: None, recipient, street, city, postal_code, country, region }
    }
}

/// Set or replace the shipping address of a pending order. Taxes depend on its country and region.
#[utoipa::path(
    put, path = "/orders/{id}/shipping-address", operation_id = "setShippingAddress",
        tag = "orders", request_body = ShippingAddressBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The order has this shipping address",
        body = Envelope<Changed>)),
)]
async fn set(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<ShippingAddressBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = SetShippingAddressInput { order_id: order_id.get(), address: body.input() };
    api.change(input, about).await
}
