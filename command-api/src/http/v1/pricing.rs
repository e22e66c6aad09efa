//! The handlers of `/api/v1/pricing`: the discounts and the taxes of the shop.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::input::{Id, Integer, Time};
use service_kit::{Envelope, Problem};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{
    DiscountInput, SetDiscountsInput, SetTaxesInput, TaxRateInput, TaxedCountryInput,
};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::object::objects;
use crate::http::present;
use crate::http::received::Received;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "pricing", description = "Discounts and taxes")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(set_discounts))
        .routes(routes!(set_taxes))
}

/// All discounts of the shop.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DiscountsBody {
    /// The discounts. Percentages are taken off first, then amounts, in this sequence.
    #[schema(max_items = 100)]
    #[serde(deserialize_with = "objects")]
    discounts: Vec<DiscountBody>,
}

/// A discount. It has either `rate`, or `amount` and `currency`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "id": "0194fdc2-fa2f-7cc0-81d3-ff12045b73c8", "rate": 100_000, "customer_type": "reseller",
    "from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z",
}))]
struct DiscountBody {
    /// The id of the discount. No other discount has it.
    id: Id,
    /// The share that it takes off what remains, in parts per million: 190000 is 19 %.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        value_type = i64, required = false, nullable = false, minimum = 0, maximum = 1_000_000
    )]
    rate: Option<Integer>,
    /// The amount that it takes off, as a decimal string. It never takes off more than remains.
    #[serde(default)]
    #[schema(required = false, pattern = r"^\d+(\.\d+)?$", example = "5.00")]
    amount: Option<String>,
    /// The currency of the amount. Orders in another currency get nothing off.
    #[serde(default)]
    #[schema(required = false, pattern = "^[A-Z]{3}$", example = "EUR")]
    currency: Option<String>,
    /// The only type of customers that it is for: `consumer`, `business` or `reseller`. Without it,
    /// it is for all.
    #[serde(default)]
    #[schema(required = false, pattern = "^(consumer|business|reseller)$", example = "reseller")]
    customer_type: Option<String>,
    /// The time from which it is valid.
    #[serde(default)]
    #[schema(required = false)]
    from: Option<Time>,
    /// The time from which it is no longer valid, after `from`.
    #[serde(default)]
    #[schema(required = false)]
    until: Option<Time>,
}

/// The tax table of the shop. Without countries, it levies no tax.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaxesBody {
    /// The countries that the shop sells to, each once. All together have at most 1,000 rates.
    #[schema(max_items = 249)]
    #[serde(deserialize_with = "objects")]
    countries: Vec<TaxedCountryBody>,
}

/// The taxes of a country.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TaxedCountryBody {
    /// The country, a code of ISO 3166-1 alpha-2.
    #[schema(pattern = "^[A-Z]{2}$", example = "AT")]
    country: String,
    /// Whether the tax is added to prices (`exclusive`) or they contain it (`inclusive`).
    #[schema(pattern = "^(exclusive|inclusive)$", example = "inclusive")]
    mode: String,
    /// The rates, one for each region and class.
    #[schema(max_items = 1000)]
    #[serde(deserialize_with = "objects")]
    rates: Vec<TaxRateBody>,
}

/// A tax rate.
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

impl DiscountBody {
    fn input(self) -> DiscountInput {
        let Self { id, rate, amount, currency, customer_type, from, until } = self;
        let (rate, from, until) =
            (rate.map(Integer::get), from.map(Time::get), until.map(Time::get));
        DiscountInput { id: id.get(), rate, amount, currency, customer_type, from, until }
    }
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

/// Replace all discounts. Orders that are confirmed already keep their prices.
#[utoipa::path(
    put, path = "/pricing/discounts", operation_id = "setDiscounts", tag = "pricing",
        request_body = DiscountsBody,
    responses((status = 200, description = "The shop has these discounts",
        body = Envelope<Changed>)),
)]
async fn set_discounts(
    State(api): State<Api>,
    received: Received<DiscountsBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let discounts = body.discounts.into_iter().map(DiscountBody::input).collect();
    api.change(SetDiscountsInput { discounts }, about).await
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
