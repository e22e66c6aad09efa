//! The handler of `/api/vN/pricing/taxes`. Discounts differ from one version to the next.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::input::Integer;
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{SetTaxesInput, TaxRateInput, TaxedCountryInput};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::object::objects;
use crate::http::received::Received;
use crate::http::text::CountryCode;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "pricing", description = "Discounts and taxes")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(set_taxes))
}

/// The tax table of the shop. Without countries, it levies no tax.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaxesBody {
    /// The countries that the shop sells to, each once (`tax/repeated`). All together have at most
    /// 1,000 rates (`too-many`).
    #[schema(max_items = 249)]
    #[serde(deserialize_with = "objects")]
    countries: Vec<TaxedCountryBody>,
}

/// The taxes of a country.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaxedCountryBody {
    /// The country, a code of ISO 3166-1 alpha-2.
    #[schema(value_type = CountryCode)]
    country: String,
    /// Whether the tax is added to prices (`exclusive`) or they contain it (`inclusive`).
    #[schema(pattern = "^(exclusive|inclusive)$", example = "inclusive")]
    mode: String,
    /// The rates, one for each region and class (`tax/repeated`).
    #[schema(max_items = 1000)]
    #[serde(deserialize_with = "objects")]
    rates: Vec<TaxRateBody>,
}

/// The tax rate of a region and a rate class.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaxRateBody {
    /// The region that it is for, the second part of a code of ISO 3166-2. Without it, it is for
    /// all regions that have no rate of their own.
    #[serde(default)]
    #[schema(required = false, pattern = "^[A-Z0-9]{1,3}$", example = "9")]
    region: Option<String>,
    /// The class of the products: `standard`, `reduced` or `zero`.
    #[schema(pattern = "^(standard|reduced|zero)$", example = "standard")]
    rate_class: String,
    /// The rate, in parts per million: 190000 is 19 %.
    #[schema(value_type = i64, minimum = 0, maximum = 1_000_000, example = 190_000)]
    rate: Integer,
}

impl TaxedCountryBody {
    fn input(self) -> TaxedCountryInput {
        let Self { country, mode, rates } = self;
        let rate = |TaxRateBody { region, rate_class, rate }| TaxRateInput {
            region,
            rate_class,
            rate: rate.get(),
        };
        TaxedCountryInput { country, mode, rates: rates.into_iter().map(rate).collect() }
    }
}

/// Replace the whole tax table. Orders that are confirmed already keep their prices.
#[utoipa::path(
    put, path = "/pricing/taxes", operation_id = "setTaxes", tag = "pricing",
        request_body = TaxesBody,
    responses((status = 200, description = "The shop levies these taxes",
        body = Envelope<Changed>)),
)]
async fn set_taxes(
    State(api): State<Api>,
    received: Received<TaxesBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let countries = body.countries.into_iter().map(TaxedCountryBody::input).collect();
    api.change(SetTaxesInput { countries }, about).await
}
