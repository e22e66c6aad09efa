//! Sets the discounts and the taxes of the shop, and finds the rules that price an order.
//!
//! Both are set as a whole. The permission to change products covers them, because they also decide
//! what an order costs.

use access::{Owner, Permission};
use chrono::{DateTime, Utc};
use domain::order::{Order, Rules};
use domain::pricing::{
    CountryTax, Discount, Off, PRICING, Period, Pricing, PricingCommand, PricingRuleError, TaxMode,
    TaxRate, TaxedCountry,
};
use domain::user::User;
use domain::value::{Country, Currency, CustomerType, Money, Rate, RateClass, RateError, Region};
use futures::future::try_join;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, FieldPath, Fields, Input, InvalidValue, NewId};
use crate::application::repository::Loaded;

/// All discounts, as the caller writes them.
#[derive(Debug, Clone)]
pub struct SetDiscountsInput {
    /// The discounts, in the sequence of their use.
    pub discounts: Vec<DiscountInput>,
}

/// A discount, as the caller writes it. It has either a rate or an amount.
#[derive(Debug, Clone)]
pub struct DiscountInput {
    /// The id of the discount.
    pub id: Uuid,
    /// The share that it takes off, in parts per million.
    pub rate: Option<i64>,
    /// The amount that it takes off, as a decimal number.
    pub amount: Option<String>,
    /// The currency of the amount.
    pub currency: Option<String>,
    /// The type of the customers who get it, or `None` if all do.
    pub customer_type: Option<String>,
    /// The time from which it is valid.
    pub from: Option<DateTime<Utc>>,
    /// The time from which it is no longer valid.
    pub until: Option<DateTime<Utc>>,
}

/// The whole tax table, as the caller writes it.
#[derive(Debug, Clone)]
pub struct SetTaxesInput {
    /// The countries that the shop sells to. Without any, it levies no tax.
    pub countries: Vec<TaxedCountryInput>,
}

/// The taxes of a country, as the caller writes them.
#[derive(Debug, Clone)]
pub struct TaxedCountryInput {
    /// The country, a code of ISO 3166-1 alpha-2.
    pub country: String,
    /// Whether prices contain the tax: `exclusive` or `inclusive`.
    pub mode: String,
    /// The rates of the country, by region and rate class.
    pub rates: Vec<TaxRateInput>,
}

/// A tax rate, as the caller writes it.
#[derive(Debug, Clone)]
pub struct TaxRateInput {
    /// The region that it is for, or `None` if it is for all others.
    pub region: Option<String>,
    /// The rate class of the products: `standard`, `reduced` or `zero`.
    pub rate_class: String,
    /// The rate, in parts per million.
    pub rate: i64,
}

/// Replaces all discounts.
pub struct SetDiscounts {
    /// The discounts, in the sequence of their use.
    pub discounts: Vec<Discount>,
}

/// Replaces the whole tax table.
pub struct SetTaxes {
    /// The countries and their taxes.
    pub taxes: Vec<TaxedCountry>,
}

fn rate(parts: i64) -> Result<Rate, RateError> {
    u32::try_from(parts).map_err(|_| RateError).and_then(Rate::from_parts_per_million)
}

impl DiscountInput {
    fn read(&self, at: usize, fields: &mut Fields) -> Option<Discount> {
        let of = |name: &'static str| ("discounts", at, name);
        let off = match (self.rate, &self.amount, &self.currency) {
            (Some(parts), None, None) => fields.value(of("rate"), rate(parts)).map(Off::Percent),
            (None, Some(amount), Some(currency)) => {
                let currency = fields.value(of("currency"), currency.parse::<Currency>());
                currency
                    .and_then(|currency| fields.value(of("amount"), Money::parse(amount, currency)))
                    .map(Off::Amount)
            }
            _ => {
                fields.refuse(("discounts", at), InvalidValue::RateOrAmount);
                None
            }
        };
        let only = self.customer_type.as_deref().map(str::parse::<CustomerType>).transpose();
        let customer_type = fields.value(of("customer_type"), only);
        let valid = fields.value(of("until"), Period::new(self.from, self.until));
        let discount_id = self.id;
        Some(Discount { discount_id, off: off?, customer_type: customer_type?, valid: valid? })
    }
}

impl TaxedCountryInput {
    fn read(&self, at: usize, fields: &mut Fields) -> Option<TaxedCountry> {
        let of = |name: &'static str| ("countries", at, name);
        let country = fields.value(of("country"), self.country.parse::<Country>());
        let mode = fields.value(of("mode"), self.mode.parse::<TaxMode>());
        let rates = self.rates.iter().enumerate().filter_map(|(index, rate)| {
            rate.read(|name| ("countries", at, "rates", index, name).into(), fields)
        });
        let rates = rates.collect();
        Some(TaxedCountry { country: country?, tax: CountryTax { mode: mode?, rates } })
    }
}

impl TaxRateInput {
    fn read(&self, at: impl Fn(&'static str) -> FieldPath, fields: &mut Fields) -> Option<TaxRate> {
        let region = self.region.as_deref().map(Region::parse).transpose();
        let region = fields.value(at("region"), region);
        let rate_class = fields.value(at("rate_class"), self.rate_class.parse::<RateClass>());
        let rate = fields.value(at("rate"), rate(self.rate));
        Some(TaxRate { region: region?, rate_class: rate_class?, rate: rate? })
    }
}

impl Input for SetDiscountsInput {
    type UseCase = SetDiscounts;

    fn read(self, _: &Environment) -> Result<SetDiscounts, CommandError> {
        let mut fields = Fields::default();
        let discounts = self.discounts.iter().enumerate();
        let discounts =
            discounts.filter_map(|(at, discount)| discount.read(at, &mut fields)).collect();
        fields.check()?;
        Ok(SetDiscounts { discounts })
    }
}

impl Input for SetTaxesInput {
    type UseCase = SetTaxes;

    fn read(self, _: &Environment) -> Result<SetTaxes, CommandError> {
        let mut fields = Fields::default();
        let taxes = self.countries.iter().enumerate();
        let taxes = taxes.filter_map(|(at, country)| country.read(at, &mut fields)).collect();
        fields.check()?;
        Ok(SetTaxes { taxes })
    }
}

impl UseCase for SetDiscounts {
    const NAME: &'static str = "set_discounts";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let (pricing_id, discounts) = (PRICING, self.discounts.clone());
        set(work, PricingCommand::SetDiscounts { pricing_id, discounts }, "discounts").await
    }
}

impl UseCase for SetTaxes {
    const NAME: &'static str = "set_taxes";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let (pricing_id, taxes) = (PRICING, self.taxes.clone());
        set(work, PricingCommand::SetTaxes { pricing_id, taxes }, "countries").await
    }
}

/// Carries out a command on the pricing. A refusal points at the field `at`.
async fn set(
    work: &Work<'_>,
    command: PricingCommand,
    at: &'static str,
) -> Result<Decision, CommandError> {
    // It may have no events yet.
    let pricing = work.checked(work.created::<Pricing>(NewId::Given(PRICING)).await?)?;
    let events = pricing.decide([command]);
    let events = events.map_err(|error: PricingRuleError| CommandError::invalid(at, error))?;
    Ok(work.changes(&pricing, &events)?.into())
}

/// The pricing of the shop. It has no events if it was never set.
///
/// # Errors
/// The pricing cannot be loaded.
pub(super) async fn current(work: &Work<'_>) -> Result<Loaded<Pricing>, CommandError> {
    work.load::<Pricing>(PRICING, false).await
}

/// The rules by which this order is priced now, or `None` if there are none. If rules or rate
/// classes change before the append, the order counts as confirmed just before.
///
/// # Errors
/// The user or a product of its lines cannot be loaded.
pub(super) async fn rules(
    work: &Work<'_>,
    order: &Order,
    pricing: &Loaded<Pricing>,
) -> Result<Option<Rules>, CommandError> {
    let Some(user_id) = order.user_id() else { return Ok(None) };
    let (version, pricing) = (pricing.version.0, pricing.state.rules());
    if pricing.is_empty() {
        return Ok(None);
    }
    let products = order.units_by_product().into_keys();
    let loaded = try_join(work.load::<User>(user_id, false), work.catalogue(products)).await;
    let (user, products) = loaded?;
    let customer_type = user.state.customer_type();
    let rate_classes = products.iter().map(|(id, product)| (*id, product.state.rate_class()));
    let rate_classes = rate_classes.collect();
    Ok(Some(Rules { version, pricing, customer_type, rate_classes }))
}
