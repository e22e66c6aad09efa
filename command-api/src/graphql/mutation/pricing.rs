//! The mutations of the shop's discounts and taxes.

use async_graphql::{Context, ID, InputObject, Object};

use crate::application::use_case::{
    DiscountInput, SetDiscountsInput, SetTaxesInput, TaxRateInput, TaxedCountryInput,
};
use crate::graphql::command::{Answer, Arguments, Options};
use crate::graphql::payload::PricingPayload;

/// All discounts of the shop.
#[derive(InputObject)]
struct Discounts {
    /// The discounts, at most 100. Percentages are taken off first, then amounts, in this sequence.
    discounts: Vec<Discount>,
}

/// A discount. It has either `rate`, or `amount` and `currency`.
#[derive(InputObject)]
struct Discount {
    /// The id of the discount: a UUID. No other discount has it.
    id: ID,
    /// The share that it takes off what remains, in parts per million: 190000 is 19 %.
    rate: Option<i64>,
    /// The amount that it takes off, as a decimal string.
    amount: Option<String>,
    /// The currency of the amount. Orders in another currency get nothing off.
    currency: Option<String>,
    /// The only type of customers that it is for: `consumer`, `business` or `reseller`. Without it,
    /// it is for all.
    customer_type: Option<String>,
    /// The time from which it is valid (RFC 3339).
    from: Option<String>,
    /// The time from which it is no longer valid, after `from`.
    until: Option<String>,
}

/// The tax table of the shop. Without countries, it levies no tax.
#[derive(InputObject)]
struct Taxes {
    /// The countries that the shop sells to, each once. All together have at most 1,000 rates.
    countries: Vec<TaxedCountry>,
}

/// The taxes of a country.
#[derive(InputObject)]
struct TaxedCountry {
    /// The country, a code of two letters (ISO 3166-1).
    country: String,
    /// Whether the tax is added to prices (`exclusive`) or they contain it (`inclusive`).
    mode: String,
    /// The rates, one for each region and class.
    rates: Vec<TaxRate>,
}

/// The tax rate of a region and a rate class.
#[derive(InputObject)]
struct TaxRate {
    /// The region that it is for (ISO 3166-2, without the country). Without it, it is for all
    /// regions that have no rate of their own.
    region: Option<String>,
    /// The class of the products: `standard`, `reduced` or `zero`.
    rate_class: String,
    /// The rate, in parts per million: 190000 is 19 %.
    rate: i64,
}

impl Discount {
    fn read(self, given: &mut Arguments, at: usize) -> DiscountInput {
        let of = |name: &str| format!("/input/discounts/{at}/{name}");
        let Self { id, rate, amount, currency, customer_type, from, until } = self;
        let id = given.read(of("id"), &id);
        let from = given.read_time(of("from"), from.as_deref());
        let until = given.read_time(of("until"), until.as_deref());
        DiscountInput { id, rate, amount, currency, customer_type, from, until }
    }
}

impl TaxedCountry {
    fn input(self) -> TaxedCountryInput {
        let Self { country, mode, rates } = self;
        let rate = |TaxRate { region, rate_class, rate }| TaxRateInput { region, rate_class, rate };
        TaxedCountryInput { country, mode, rates: rates.into_iter().map(rate).collect() }
    }
}

#[derive(Default)]
pub(super) struct PricingMutation;

#[Object]
impl PricingMutation {
    /// Replaces all discounts. Orders that are confirmed already keep their prices.
    async fn set_discounts(
        &self,
        ctx: &Context<'_>,
        input: Discounts,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<PricingPayload> {
        let mut given = Arguments::default();
        let discounts = input.discounts.into_iter().enumerate();
        let discounts = discounts.map(|(at, discount)| discount.read(&mut given, at)).collect();
        let options = Options { expected_version, idempotency_key, dry_run };
        given.run(ctx, SetDiscountsInput { discounts }, options).await
    }

    /// Replaces the whole tax table. Orders that are confirmed already keep their prices.
    async fn set_taxes(
        &self,
        ctx: &Context<'_>,
        input: Taxes,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<PricingPayload> {
        let countries = input.countries.into_iter().map(TaxedCountry::input).collect();
        let options = Options { expected_version, idempotency_key, dry_run };
        Arguments::default().run(ctx, SetTaxesInput { countries }, options).await
    }
}
