//! Amounts of money as Stripe counts them. For most currencies these are the minor units of ISO
//! 4217. The exceptions are those of <https://docs.stripe.com/currencies>.

use domain::value::{Currency, Money};

use crate::port::GatewayError;

/// Currencies that Stripe counts without decimals.
const WHOLE: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
/// Currencies without decimals that Stripe counts with two.
const TWO_ZEROS: &[&str] = &["ISK"];
/// Currencies with three decimals. The last one must be 0.
const THREE_DECIMALS: &[&str] = &["BHD", "JOD", "KWD", "OMR", "TND"];
/// Currencies that Stripe's documentation lists in two of these groups. A wrong guess would charge
/// a hundred times the amount, or a hundredth.
const AMBIGUOUS: &[&str] = &["UGX"];

/// The decimals of a currency at Stripe; `None` if they are not known for sure.
fn decimals(currency: Currency) -> Option<u32> {
    let code = currency.code();
    if AMBIGUOUS.contains(&code) {
        return None;
    }
    if WHOLE.contains(&code) {
        return Some(0);
    }
    if THREE_DECIMALS.contains(&code) {
        return Some(3);
    }
    (currency.exponent() == 2 || TWO_ZEROS.contains(&code)).then_some(2)
}

/// The amount that Stripe is asked for.
///
/// # Errors
/// [`GatewayError::Invalid`]: Stripe does not take this currency, or not so exact an amount.
pub(super) fn to_stripe(amount: Money) -> Result<i64, GatewayError> {
    let currency = amount.currency();
    let unsupported = || GatewayError::invalid("currency_not_supported");
    let (ours, theirs) = (currency.exponent(), decimals(currency).ok_or_else(unsupported)?);
    let too_exact = || GatewayError::invalid("amount_too_exact");
    let scaled = scale(amount.minor(), ours, theirs).ok_or_else(too_exact)?;
    if theirs == 3 && scaled % 10 != 0 {
        return Err(too_exact());
    }
    Ok(scaled)
}

/// The money that an amount of Stripe is.
pub(super) fn from_stripe(amount: i64, currency: Currency) -> Option<Money> {
    let minor = scale(amount, decimals(currency)?, currency.exponent())?;
    Money::from_minor(minor, currency).ok()
}

/// The same amount with other decimals, unless that would round.
fn scale(amount: i64, from: u32, to: u32) -> Option<i64> {
    if to >= from {
        amount.checked_mul(10_i64.checked_pow(to - from)?)
    } else {
        let unit = 10_i64.checked_pow(from - to)?;
        (amount % unit == 0).then_some(amount / unit)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn money(text: &str) -> Money {
        let (amount, code) = text.split_once(' ').unwrap();
        Money::parse(amount, code.parse().unwrap()).unwrap()
    }

    #[test]
    fn amounts_are_counted_as_stripe_counts_them_and_back() {
        for (text, expected) in [
            ("10.00 USD", 1_000),
            ("0.01 EUR", 1),
            ("500 JPY", 500),
            ("5 ISK", 500),
            ("5.00 MGA", 5),
            ("5.12 KWD", 5_120),
            ("1 XOF", 1),
        ] {
            assert_eq!(to_stripe(money(text)).unwrap(), expected, "{text}");
            let back = from_stripe(expected, money(text).currency()).unwrap();
            assert_eq!(back, money(text), "{text}");
        }
    }

    #[test]
    fn what_stripe_would_round_or_count_otherwise_is_refused() {
        for (text, code) in [
            ("5.124 KWD", "amount_too_exact"),
            ("5.20 MGA", "amount_too_exact"),
            ("5 UGX", "currency_not_supported"),
            ("5.123 IQD", "currency_not_supported"),
        ] {
            assert_eq!(to_stripe(money(text)), Err(GatewayError::invalid(code)), "{text}");
        }
        assert_eq!(from_stripe(550, "ISK".parse().unwrap()), None);
        assert_eq!(from_stripe(-1, "USD".parse().unwrap()), None);
    }
}
