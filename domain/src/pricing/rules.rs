//! The aggregate `pricing`: the discounts and taxes of the shop, as staff last set them. There is
//! one, with a fixed id. Its version says which rules priced an order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CountryTax, Discount, OrderPricing, PricingRuleError, TaxTable};
use crate::aggregate::{Aggregate, SnapshotCodec, stored_events};
use crate::value::Country;

#[cfg(test)]
mod tests;

/// The id of the pricing of the shop.
pub const PRICING: Uuid = Uuid::from_u128(0x0190_b3a2_0000_7000_8000_0070_7269_6365);
/// The maximum number of tax rates of all countries together.
pub const MAX_TAX_RATES: usize = 1_000;

/// The rules of the shop. The default has no discounts and no taxes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Pricing {
    discounts: Vec<Discount>,
    taxes: Vec<TaxedCountry>,
}

/// A country and its taxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxedCountry {
    /// The country that the goods go to.
    pub country: Country,
    /// The tax of orders to this country.
    pub tax: CountryTax,
}

/// An event of the pricing.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PricingEvent {
    /// `pricing.discounts_set` v1: all discounts were replaced.
    DiscountsSet(PricingDiscountsSet),
    /// `pricing.taxes_set` v1: the whole tax table was replaced.
    TaxesSet(PricingTaxesSet),
}

stored_events!(PricingEvent {
    DiscountsSet(PricingDiscountsSet) => "pricing.discounts_set", 1;
    TaxesSet(PricingTaxesSet) => "pricing.taxes_set", 1;
});

/// The payload of `pricing.discounts_set` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PricingDiscountsSet {
    /// The id of the pricing.
    pub pricing_id: Uuid,
    /// All discounts, in the sequence of their use.
    pub discounts: Vec<Discount>,
}

/// The payload of `pricing.taxes_set` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PricingTaxesSet {
    /// The id of the pricing.
    pub pricing_id: Uuid,
    /// The taxes of all countries that the shop sells to. Without any, it levies no tax.
    pub taxes: Vec<TaxedCountry>,
}

/// A command to the pricing.
#[derive(Debug, Clone)]
pub enum PricingCommand {
    /// Replaces all discounts. The same ones change nothing.
    SetDiscounts {
        /// The id of the pricing.
        pricing_id: Uuid,
        /// All discounts, in the sequence of their use.
        discounts: Vec<Discount>,
    },
    /// Replaces the whole tax table. The same one changes nothing.
    SetTaxes {
        /// The id of the pricing.
        pricing_id: Uuid,
        /// The taxes of all countries.
        taxes: Vec<TaxedCountry>,
    },
}

impl PricingEvent {
    /// The id of the pricing.
    pub const fn pricing_id(&self) -> Uuid {
        match self {
            Self::DiscountsSet(PricingDiscountsSet { pricing_id, .. })
            | Self::TaxesSet(PricingTaxesSet { pricing_id, .. }) => *pricing_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        vec![("pricing", self.pricing_id())]
    }
}

impl Pricing {
    /// The rules, ready to price orders.
    pub fn rules(&self) -> OrderPricing {
        let taxes = self.taxes.iter().map(|taxed| (taxed.country, taxed.tax.clone()));
        OrderPricing { discounts: self.discounts.clone(), taxes: TaxTable::of_accepted(taxes) }
    }
}

/// Checks a tax table.
fn check(taxes: &[TaxedCountry]) -> Result<(), PricingRuleError> {
    if taxes.iter().map(|taxed| taxed.tax.rates.len()).sum::<usize>() > MAX_TAX_RATES {
        return Err(PricingRuleError::TooManyTaxRates);
    }
    TaxTable::new(taxes.iter().map(|taxed| (taxed.country, taxed.tax.clone()))).map(drop)
}

impl Aggregate for Pricing {
    type Command = PricingCommand;
    type Event = PricingEvent;
    type Error = PricingRuleError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(1));

    fn heap_bytes(&self) -> usize {
        let rates = self.taxes.iter().flat_map(|taxed| &taxed.tax.rates);
        size_of_val(self.discounts.as_slice())
            + size_of_val(self.taxes.as_slice())
            + rates.map(size_of_val).sum::<usize>()
    }

    fn decide(&self, command: PricingCommand) -> Result<Vec<PricingEvent>, PricingRuleError> {
        let event = match command {
            PricingCommand::SetDiscounts { pricing_id, discounts } => {
                OrderPricing::new(discounts.clone(), TaxTable::default())?;
                let is_new = discounts != self.discounts;
                let set = PricingDiscountsSet { pricing_id, discounts };
                is_new.then_some(PricingEvent::DiscountsSet(set))
            }
            PricingCommand::SetTaxes { pricing_id, taxes } => {
                check(&taxes)?;
                let is_new = taxes != self.taxes;
                is_new.then_some(PricingEvent::TaxesSet(PricingTaxesSet { pricing_id, taxes }))
            }
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(self, event: PricingEvent) -> Self {
        match event {
            PricingEvent::DiscountsSet(set) => Self { discounts: set.discounts, ..self },
            PricingEvent::TaxesSet(set) => Self { taxes: set.taxes, ..self },
        }
    }
}
