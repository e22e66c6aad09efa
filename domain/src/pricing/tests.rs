//! Tests of what orders cost.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::value::{Country, MoneyError, Rate, Region};

fn eur(minor: i64) -> Money {
    Money::from_minor(minor, "EUR".parse().unwrap()).unwrap()
}

/// A rate in hundredths of a percent.
fn rate(basis_points: u32) -> Rate {
    Rate::from_parts_per_million(basis_points * 100).unwrap()
}

fn day(day: u32) -> DateTime<Utc> {
    format!("2026-03-{day:02}T00:00:00Z").parse().unwrap()
}

fn percent(id: u128, basis_points: u32) -> Discount {
    discount(id, Off::Percent(rate(basis_points)))
}

fn amount(id: u128, minor: i64) -> Discount {
    discount(id, Off::Amount(eur(minor)))
}

fn discount(id: u128, off: Off) -> Discount {
    let valid = Period::default();
    Discount { discount_id: Uuid::from_u128(id), off, customer_type: None, valid }
}

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn region(code: &str) -> Region {
    Region::parse(code).unwrap()
}

fn tax(region: Option<Region>, rate_class: RateClass, basis_points: u32) -> TaxRate {
    TaxRate { region, rate_class, rate: rate(basis_points) }
}

/// German prices contain the tax, American ones do not.
fn taxes() -> TaxTable {
    let de = vec![tax(None, RateClass::Standard, 1_900), tax(None, RateClass::Reduced, 700)];
    let us =
        vec![tax(Some(region("CA")), RateClass::Standard, 725), tax(None, RateClass::Standard, 0)];
    TaxTable::new([
        (country("DE"), CountryTax { mode: TaxMode::Inclusive, rates: de }),
        (country("US"), CountryTax { mode: TaxMode::Exclusive, rates: us }),
    ])
    .unwrap()
}

fn to(code: &str, region: Option<Region>) -> Destination {
    Destination { country: country(code), region }
}

fn request(
    lists: &[(RateClass, i64)],
    destination: impl Into<Option<Destination>>,
) -> PriceRequest {
    let line = |(at, (rate_class, minor)): (usize, &(RateClass, i64))| LineToPrice {
        line_id: Uuid::from_u128(at as u128),
        rate_class: *rate_class,
        list: eur(*minor),
    };
    PriceRequest {
        at: day(10),
        customer_type: CustomerType::Consumer,
        destination: destination.into(),
        lines: lists.iter().enumerate().map(line).collect(),
    }
}

const STANDARD: RateClass = RateClass::Standard;

fn discounted(discounts: Vec<Discount>, lists: &[i64]) -> Price {
    let lists: Vec<_> = lists.iter().map(|minor| (STANDARD, *minor)).collect();
    let pricing = OrderPricing::new(discounts, TaxTable::default()).unwrap();
    pricing.price(&request(&lists, None)).unwrap()
}

#[test]
fn without_rules_an_order_costs_the_sum_of_its_lines() {
    let price = OrderPricing::default().price(&request(&[(STANDARD, 70), (STANDARD, 30)], None));
    let price = price.unwrap();
    assert_eq!((price.list, price.discount), (eur(100), eur(0)));
    assert_eq!((price.tax, price.total), (eur(0), eur(100)));
    assert!(OrderPricing::default().is_empty());
}

#[test]
fn percentages_are_taken_off_before_amounts_and_each_off_what_remains() {
    let price = discounted(vec![amount(1, 1_000), percent(2, 1_000), percent(3, 5_000)], &[10_000]);
    let used: Vec<_> =
        price.discounts.iter().map(|used| (used.rule.discount_id, used.amount)).collect();
    let id = Uuid::from_u128;
    assert_eq!(used, [(id(2), eur(1_000)), (id(3), eur(4_500)), (id(1), eur(1_000))]);
    assert_eq!((price.discount, price.total), (eur(6_500), eur(3_500)));
}

#[test]
fn a_percentage_is_rounded_half_a_unit_up_and_once_for_the_order() {
    // 10 % of 0.05 and of 0.05 would be 0.02; of 0.10 it is 0.01.
    assert_eq!(discounted(vec![percent(1, 1_000)], &[5, 5]).discount, eur(1));
    assert_eq!(discounted(vec![percent(1, 1_000)], &[15]).discount, eur(2));
}

#[test]
fn a_discount_never_takes_off_more_than_remains() {
    let price = discounted(vec![amount(1, 900), amount(2, 900), amount(3, 900)], &[1_000]);
    assert_eq!((price.discount, price.total), (eur(1_000), eur(0)));
    assert_eq!(price.discounts.len(), 2, "what takes nothing off is not used");
}

#[test]
fn an_amount_in_another_currency_takes_nothing_off() {
    let usd = Money::from_minor(100, "USD".parse().unwrap()).unwrap();
    assert_eq!(discounted(vec![discount(1, Off::Amount(usd))], &[1_000]).total, eur(1_000));
}

#[test]
fn a_discount_is_spread_over_the_lines() {
    let shares = discounted(vec![amount(1, 100)], &[100, 100, 100]);
    let shares: Vec<_> = shares.lines.iter().map(|line| line.discount).collect();
    assert_eq!(shares, [eur(34), eur(33), eur(33)]);
}

#[test]
fn a_discount_is_for_its_customers_and_its_period() {
    let valid = Period::new(Some(day(10)), Some(day(20))).unwrap();
    let customer_type = Some(CustomerType::Reseller);
    let rule = Discount { customer_type, valid, ..percent(1, 1_000) };
    for (customer, at, is_for) in [
        (CustomerType::Reseller, day(10), true),
        (CustomerType::Reseller, day(19), true),
        (CustomerType::Reseller, day(9), false),
        (CustomerType::Reseller, day(20), false),
        (CustomerType::Consumer, day(10), false),
    ] {
        let pricing = OrderPricing::new(vec![rule.clone()], TaxTable::default()).unwrap();
        let request =
            PriceRequest { at, customer_type: customer, ..request(&[(STANDARD, 1_000)], None) };
        let total = pricing.price(&request).unwrap().total;
        assert_eq!(total, eur(if is_for { 900 } else { 1_000 }), "{customer:?} {at}");
    }
}

#[test]
fn a_price_contains_the_tax_where_the_mode_is_inclusive() {
    let pricing = OrderPricing::new(Vec::new(), taxes()).unwrap();
    let lines = [(STANDARD, 11_900), (RateClass::Reduced, 1_070)];
    let price = pricing.price(&request(&lines, to("DE", None))).unwrap();
    assert_eq!((price.tax, price.total), (eur(1_970), eur(12_970)));
    let taxes: Vec<_> = price.taxes.iter().map(|tax| (tax.base, tax.amount)).collect();
    assert_eq!(taxes, [(eur(11_900), eur(1_900)), (eur(1_070), eur(70))]);
}

#[test]
fn a_tax_is_added_where_the_mode_is_exclusive_and_a_region_may_have_its_own_rate() {
    let pricing = OrderPricing::new(Vec::new(), taxes()).unwrap();
    for (region, tax) in [(Some(region("CA")), 73), (Some(region("OR")), 0), (None, 0)] {
        let price = pricing.price(&request(&[(STANDARD, 1_000)], to("US", region))).unwrap();
        assert_eq!((price.tax, price.total), (eur(tax), eur(1_000 + tax)));
    }
}

#[test]
fn tax_is_on_what_remains_after_discounts_and_rounded_once_per_class() {
    let pricing = OrderPricing::new(vec![percent(1, 5_000)], taxes()).unwrap();
    let lines = [(STANDARD, 100); 3];
    let price = pricing.price(&request(&lines, to("US", Some(region("CA"))))).unwrap();
    // 7.25 % of 1.50 is 0.10875. Three times 7.25 % of 0.50 would be 0.12.
    assert_eq!((price.tax, price.total), (eur(11), eur(161)));
}

#[test]
fn an_order_whose_tax_is_not_known_is_refused() {
    let pricing = OrderPricing::new(Vec::new(), taxes()).unwrap();
    let price =
        |lines: &[_], destination: Option<Destination>| pricing.price(&request(lines, destination));
    assert_eq!(price(&[(STANDARD, 1)], None), Err(PricingError::NoDestination));
    assert_eq!(
        price(&[(STANDARD, 1)], Some(to("FR", None))),
        Err(PricingError::NoTaxRate { country: country("FR"), rate_class: STANDARD })
    );
    assert_eq!(
        price(&[(RateClass::Reduced, 1)], Some(to("US", None))),
        Err(PricingError::NoTaxRate { country: country("US"), rate_class: RateClass::Reduced })
    );
    assert_eq!(price(&[], Some(to("US", None))), Err(PricingError::NoLines));
}

#[test]
fn a_price_that_is_too_large_is_refused_and_nothing_overflows() {
    let pricing = OrderPricing::new(vec![percent(1, 0), amount(2, Money::MAX_MINOR)], taxes());
    let free = pricing.unwrap().price(&request(&[(STANDARD, Money::MAX_MINOR)], to("DE", None)));
    assert_eq!(free.unwrap().total, eur(0));
    let pricing = OrderPricing::new(Vec::new(), taxes()).unwrap();
    let price = |lines: &[_], destination| pricing.price(&request(lines, destination));
    let most = (STANDARD, Money::MAX_MINOR);
    let contained = price(&[most], to("DE", None)).unwrap();
    assert_eq!(contained.total, eur(Money::MAX_MINOR));
    let too_large = Err(PricingError::Money(MoneyError::TooLarge));
    assert_eq!(price(&[most], to("US", Some(region("CA")))), too_large);
    assert_eq!(price(&[most, (STANDARD, 1)], to("DE", None)), too_large);
}

#[test]
fn lines_in_two_currencies_have_no_price() {
    let mut mixed = request(&[(STANDARD, 100), (STANDARD, 100)], None);
    mixed.lines[1].list = Money::from_minor(100, "USD".parse().unwrap()).unwrap();
    let price = OrderPricing::default().price(&mixed);
    assert!(matches!(price, Err(PricingError::Money(MoneyError::Mixed { .. }))), "{price:?}");
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let twice = OrderPricing::new(vec![percent(1, 1), amount(1, 1)], TaxTable::default());
    assert_eq!(twice.err(), Some(PricingRuleError::RepeatedDiscount));
    let many = (0..=MAX_DISCOUNTS as u128).map(|id| percent(id, 1)).collect();
    let many = OrderPricing::new(many, TaxTable::default());
    assert_eq!(many.err(), Some(PricingRuleError::TooManyDiscounts));
    let most = (1..=MAX_DISCOUNTS as u128).map(|id| percent(id, 1)).collect();
    assert!(OrderPricing::new(most, TaxTable::default()).is_ok());
    assert_eq!(Period::new(Some(day(2)), Some(day(2))), Err(PricingRuleError::EmptyPeriod));
    let tax = CountryTax { mode: TaxMode::Exclusive, rates: vec![tax(None, STANDARD, 1); 2] };
    let repeated = TaxTable::new([(country("DE"), tax)]);
    assert_eq!(repeated.err(), Some(PricingRuleError::RepeatedTax));
    let none = || CountryTax { mode: TaxMode::Exclusive, rates: Vec::new() };
    let repeated = TaxTable::new([(country("DE"), none()), (country("DE"), none())]);
    assert_eq!(repeated.err(), Some(PricingRuleError::RepeatedTax));
}

#[test]
fn a_price_says_what_it_was_computed_from() {
    let pricing = OrderPricing::new(vec![percent(1, 1_000)], taxes()).unwrap();
    let customer_type = CustomerType::Reseller;
    let lines = [(STANDARD, 1_000), (RateClass::Reduced, 500)];
    let request = PriceRequest { customer_type, ..request(&lines, to("DE", Some(region("BY")))) };
    let price = pricing.price(&request).unwrap();
    assert_eq!((price.priced_at, price.customer_type), (day(10), customer_type));
    assert_eq!(price.destination, request.destination);
    assert_eq!(price.tax_mode, TaxMode::Inclusive);
    let found: Vec<_> =
        price.lines.iter().map(|line| (line.line_id, line.rate_class, line.list)).collect();
    let asked = request.lines.iter().map(|line| (line.line_id, line.rate_class, line.list));
    assert_eq!(found, asked.collect::<Vec<_>>());
    let rules: Vec<_> = price.discounts.iter().map(|used| used.rule.clone()).collect();
    assert_eq!(rules, [percent(1, 1_000)]);
    let rates: Vec<_> = price.taxes.iter().map(|tax| (tax.rate_class, tax.rate)).collect();
    assert_eq!(rates, [(STANDARD, rate(1_900)), (RateClass::Reduced, rate(700))]);
}

proptest! {
    #[test]
    fn a_price_adds_up_and_can_be_reproduced_from_itself(
        lists in prop::collection::vec((0..3_usize, 0..1_000_000_000_i64), 1..30),
        offs in prop::collection::vec((any::<bool>(), 0..=10_000_u32), 0..8),
        mode in any::<bool>(),
        rates in prop::array::uniform3(0..=10_000_u32),
    ) {
        let classes = [RateClass::Standard, RateClass::Reduced, RateClass::Zero];
        let discounts = (0..).zip(offs).map(|(id, (is_percentage, off))| {
            if is_percentage { percent(id, off) } else { amount(id, i64::from(off) * 1_000) }
        });
        let rates = classes.into_iter().zip(rates).map(|(class, rate)| tax(None, class, rate));
        let mode = if mode { TaxMode::Inclusive } else { TaxMode::Exclusive };
        let taxes = [(country("DE"), CountryTax { mode, rates: rates.collect() })];
        let pricing = OrderPricing::new(discounts.collect(), TaxTable::new(taxes).unwrap());
        let classed = |(class, minor): (usize, _)| (classes[class], minor);
        let lists: Vec<_> = lists.into_iter().map(classed).collect();
        let price = pricing.unwrap().price(&request(&lists, to("DE", None))).unwrap();

        let sum = |amounts: Vec<Money>| amounts.into_iter().map(Money::minor).sum::<i64>();
        let discount = price.discount.minor();
        let listed = sum(price.lines.iter().map(|line| line.list).collect());
        prop_assert_eq!(listed, price.list.minor());
        prop_assert_eq!(sum(price.lines.iter().map(|line| line.discount).collect()), discount);
        prop_assert_eq!(sum(price.discounts.iter().map(|used| used.amount).collect()), discount);
        let goods = price.list.minor() - discount;
        prop_assert_eq!(sum(price.taxes.iter().map(|tax| tax.base).collect()), goods);
        let added = if mode == TaxMode::Exclusive { price.tax.minor() } else { 0 };
        prop_assert_eq!(price.total.minor(), goods + added);
        prop_assert_eq!(price.again().unwrap(), price.clone());
        let stored = serde_json::to_string(&price).unwrap();
        prop_assert_eq!(serde_json::from_str::<Price>(&stored).unwrap(), price);
    }
}
