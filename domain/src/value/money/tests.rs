//! Tests of money: examples, and properties over random amounts.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{Currency, Money, MoneyError};
use crate::value::Quantity;

fn currency(code: &str) -> Currency {
    code.parse().unwrap()
}

fn usd(text: &str) -> Result<Money, MoneyError> {
    Money::parse(text, currency("USD"))
}

#[test]
fn a_decimal_string_is_read_by_the_exponent_of_its_currency() {
    for (text, code, minor) in [
        ("14.67", "USD", 1467),
        ("14.6", "USD", 1460),
        ("14", "USD", 1400),
        ("0.00", "USD", 0),
        ("007.10", "USD", 710),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
    ] {
        assert_eq!(Money::parse(text, currency(code)).unwrap().minor(), minor, "{text} {code}");
    }
}

#[test]
fn what_is_no_amount_is_refused() {
    for text in [
        "", ".", "1.", ".5", "1.2.3", "1,50", "1e3", "+1", " 1", "1 ", "0x10", "NaN", "٣", "--1",
        "-", "1_000", "1.-5",
    ] {
        assert_eq!(usd(text), Err(MoneyError::Malformed), "{text:?}");
    }
    assert_eq!(usd("-1.00"), Err(MoneyError::Negative));
    assert_eq!(
        usd("1.234"),
        Err(MoneyError::TooPrecise { currency: currency("USD"), exponent: 2 })
    );
    assert_eq!(
        Money::parse("1.0", currency("JPY")),
        Err(MoneyError::TooPrecise { currency: currency("JPY"), exponent: 0 })
    );
    assert_eq!(usd("10000000000000.01"), Err(MoneyError::TooLarge));
    assert_eq!(usd(&"9".repeat(400)), Err(MoneyError::TooLarge));
}

#[test]
fn a_code_without_minor_units_is_no_currency() {
    for code in ["XAU", "XXX", "usd", "US", "EURO", ""] {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{code:?}");
    }
}

#[test]
fn a_withdrawn_currency_is_read_but_takes_no_new_price() {
    for code in ["DEM", "BGN", "HRK", "ITL"] {
        assert_eq!(
            currency(code).for_new_prices(),
            Err(MoneyError::Withdrawn { currency: currency(code) })
        );
    }
    assert_eq!(currency("EUR").for_new_prices(), Ok(currency("EUR")));
    assert_eq!(Money::parse("1000", currency("ITL")).unwrap().to_decimal(), "1000");
    let stored = serde_json::from_str::<Money>(r#"{"minor":1467,"currency":"DEM"}"#).unwrap();
    assert_eq!(stored.to_decimal(), "14.67");
}

#[test]
fn currencies_never_mix() {
    let (dollar, euro) = (usd("1.00").unwrap(), Money::parse("1.00", currency("EUR")).unwrap());
    assert_eq!(
        dollar.plus(euro),
        Err(MoneyError::Mixed { left: currency("USD"), right: currency("EUR") })
    );
}

#[test]
fn a_sum_or_product_past_the_limit_is_an_error() {
    let most = Money::from_minor(Money::MAX_MINOR, currency("USD")).unwrap();
    assert_eq!(most.plus(usd("0.01").unwrap()), Err(MoneyError::TooLarge));
    assert_eq!(most.times(Quantity::new(Quantity::MAX).unwrap()), Err(MoneyError::TooLarge));
    assert_eq!(Money::from_minor(-1, currency("USD")), Err(MoneyError::Negative));
}

#[test]
fn an_amount_that_does_not_divide_is_allocated_to_two_prices_a_cent_apart() {
    let parts: Vec<_> = usd("29.33").unwrap().allocate(Quantity::new(2).unwrap()).parts().collect();
    assert_eq!(
        parts,
        [
            (Quantity::new(1).unwrap(), usd("14.67").unwrap()),
            (Quantity::new(1).unwrap(), usd("14.66").unwrap())
        ]
    );
    let parts: Vec<_> = usd("0.00").unwrap().allocate(Quantity::new(3).unwrap()).parts().collect();
    assert_eq!(parts, [(Quantity::new(3).unwrap(), usd("0.00").unwrap())]);
}

#[test]
fn a_stored_amount_that_cannot_be_is_not_read() {
    assert!(serde_json::from_str::<Money>(r#"{"minor":-1,"currency":"USD"}"#).is_err());
    assert!(serde_json::from_str::<Money>(r#"{"minor":1.5,"currency":"USD"}"#).is_err());
    assert!(serde_json::from_str::<Money>(r#"{"minor":1,"currency":"XXX"}"#).is_err());
}

fn any_money() -> impl Strategy<Value = Money> {
    (0..=Money::MAX_MINOR, prop::sample::select(formats::Currency::all().collect::<Vec<_>>()))
        .prop_map(|(minor, any)| Money::from_minor(minor, currency(any.code())).unwrap())
}

proptest! {
    #[test]
    fn every_amount_reads_back_what_it_writes(money in any_money()) {
        prop_assert_eq!(Money::parse(&money.to_decimal(), money.currency()), Ok(money));
        let json = serde_json::to_string(&money).unwrap();
        prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
    }

    #[test]
    fn an_allocation_adds_up_to_the_amount_and_prices_differ_by_a_minor_unit_at_most(
        money in any_money(), units in 1..=Quantity::MAX,
    ) {
        let units = Quantity::new(units).unwrap();
        let parts: Vec<_> = money.allocate(units).parts().collect();
        prop_assert!((1..=2).contains(&parts.len()));
        prop_assert_eq!(parts.iter().map(|(quantity, _)| quantity.get()).sum::<u32>(), units.get());
        let sum = parts.iter().try_fold(Money::zero(money.currency()), |sum, (n,
            price)| sum.plus(price.times(*n)?));
        prop_assert_eq!(sum, Ok(money));
        if let [(_, dearer), (_, cheaper)] = parts[..] {
            prop_assert_eq!(dearer.minor() - cheaper.minor(), 1);
        }
    }

    #[test]
    fn any_text_is_an_amount_or_an_error_and_never_a_panic(text in "\\PC{0,40}") {
        if let Ok(money) = usd(&text) {
            prop_assert!((0..=Money::MAX_MINOR).contains(&money.minor()));
        }
    }

    #[test]
    fn adding_commutes_and_equals_adding_minor_units(a in 0..=Money::MAX_MINOR,
        b in 0..=Money::MAX_MINOR) {
        let (left, right) = (Money::from_minor(a, currency("USD")).unwrap(), Money::from_minor(b,
            currency("USD")).unwrap());
        prop_assert_eq!(left.plus(right), right.plus(left));
        prop_assert_eq!(left.plus(right).ok().map(Money::minor),
            Some(a + b).filter(|sum| *sum <= Money::MAX_MINOR));
    }
}
