//! The handler of `/api/v1/pricing/discounts`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::input::{Id, Integer, Time};
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{DiscountInput, SetDiscountsInput};
use crate::http::answer::Changed;
use crate::http::object::objects;
use crate::http::received::Received;
use crate::http::{Api, present};

/// The routes of pricing that only this version has.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(set_discounts))
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

/// A discount. It has either `rate`, or `amount` and `currency` (`discount/rate-or-amount`).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "id": "0194fdc2-fa2f-7cc0-81d3-ff12045b73c8", "rate": 100_000, "customer_type": "reseller",
    "from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z",
}))]
struct DiscountBody {
    /// The id of the discount. No other discount has it (`discount/repeated`).
    id: Id,
    /// The share that it takes off what remains, in parts per million: 190000 is 19 %.
    #[serde(default, deserialize_with = "present")]
    #[schema(
        value_type = i64, required = false, nullable = false, minimum = 0, maximum = 1_000_000
    )]
    rate: Option<Integer>,
    /// The amount that it takes off, as a decimal string. It never takes off more than remains.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[serde(default)]
    #[schema(required = false, pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "5.00")]
    amount: Option<String>,
    /// The currency of the amount. Orders in another currency get nothing off.
    #[serde(default)]
    #[schema(value_type = Option<CurrencyOfAnyTime>, required = false)]
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
    /// The time from which it is no longer valid, after `from` (`period/empty`).
    #[serde(default)]
    #[schema(required = false)]
    until: Option<Time>,
}

impl DiscountBody {
    fn input(self) -> DiscountInput {
        let Self { id, rate, amount, currency, customer_type, from, until } = self;
        let (rate, from, until) =
            (rate.map(Integer::get), from.map(Time::get), until.map(Time::get));
        DiscountInput { id: id.get(), rate, amount, currency, customer_type, from, until }
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
