//! Tests of how the pricing reacts to commands.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::aggregate::scenario::given;
use crate::golden::GOLDEN;
use crate::pricing::{MAX_DISCOUNTS, Off, Period, TaxMode, TaxRate};
use crate::value::{CustomerType, Rate, RateClass, Region};

fn rate() -> Rate {
    Rate::from_parts_per_million(190_000).unwrap()
}

fn discount(id: u128) -> Discount {
    Discount {
        discount_id: Uuid::from_u128(id),
        off: Off::Percent(rate()),
        customer_type: Some(CustomerType::Reseller),
        valid: Period::default(),
    }
}

fn taxed(country: &str, rates: usize) -> TaxedCountry {
    let region = |number: usize| Some(Region::parse(&number.to_string()).unwrap());
    let rates = (0..rates).map(|number| TaxRate {
        region: region(number),
        rate_class: RateClass::Standard,
        rate: rate(),
    });
    let tax = CountryTax { mode: TaxMode::Inclusive, rates: rates.collect() };
    TaxedCountry { country: country.parse().unwrap(), tax }
}

fn set_discounts(discounts: Vec<Discount>) -> PricingCommand {
    PricingCommand::SetDiscounts { pricing_id: PRICING, discounts }
}

fn set_taxes(taxes: Vec<TaxedCountry>) -> PricingCommand {
    PricingCommand::SetTaxes { pricing_id: PRICING, taxes }
}

fn discounts_set(discounts: Vec<Discount>) -> PricingEvent {
    PricingEvent::DiscountsSet(PricingDiscountsSet { pricing_id: PRICING, discounts })
}

fn taxes_set(taxes: Vec<TaxedCountry>) -> PricingEvent {
    PricingEvent::TaxesSet(PricingTaxesSet { pricing_id: PRICING, taxes })
}

#[test]
fn the_state_that_is_kept_is_what_it_was_in_its_shape() {
    let history = [discounts_set(vec![discount(1)]), taxes_set(vec![taxed("DE", 1)])];
    GOLDEN.check_kept::<Pricing>(&history.into_iter().fold(Pricing::default(), Pricing::evolve));
}

#[test]
fn rules_are_replaced_as_a_whole_and_a_repeat_changes_nothing() {
    let one = || vec![discount(1)];
    given::<Pricing>([]).when(set_discounts(one())).then([discounts_set(one())]);
    given::<Pricing>([discounts_set(one())]).when(set_discounts(one())).then([]);
    given::<Pricing>([discounts_set(one())])
        .when(set_discounts(Vec::new()))
        .then([discounts_set(Vec::new())]);
    given::<Pricing>([]).when(set_discounts(Vec::new())).then([]);
    let german = || vec![taxed("DE", 1)];
    given::<Pricing>([]).when(set_taxes(german())).then([taxes_set(german())]);
    given::<Pricing>([taxes_set(german())]).when(set_taxes(german())).then([]);
    given::<Pricing>([taxes_set(german())])
        .when(set_taxes(vec![taxed("FR", 2)]))
        .then([taxes_set(vec![taxed("FR", 2)])]);
}

#[test]
fn rules_that_contradict_each_other_or_are_too_many_are_refused() {
    let error = |command, error| given::<Pricing>([]).when(command).then_error(&error);
    error(set_discounts(vec![discount(1); 2]), PricingRuleError::RepeatedDiscount);
    let many = (0..=MAX_DISCOUNTS as u128).map(discount).collect();
    error(set_discounts(many), PricingRuleError::TooManyDiscounts);
    error(set_taxes(vec![taxed("DE", 1), taxed("DE", 0)]), PricingRuleError::RepeatedTax);
    error(set_taxes(vec![taxed("DE", 501), taxed("FR", 500)]), PricingRuleError::TooManyTaxRates);
    let most = || vec![taxed("DE", 500), taxed("FR", 500)];
    given::<Pricing>([]).when(set_taxes(most())).then([taxes_set(most())]);
}

#[test]
fn orders_are_priced_by_the_latest_rules() {
    let history = [
        taxes_set(vec![taxed("DE", 1)]),
        discounts_set(vec![discount(1)]),
        taxes_set(Vec::new()),
        discounts_set(Vec::new()),
    ];
    let empty = history.iter().cloned().scan(Pricing::default(), |state, event| {
        *state = state.clone().evolve(event);
        Some(state.rules().is_empty())
    });
    assert_eq!(empty.collect::<Vec<_>>(), [false, false, false, true]);
}
