//! Money in version 1 of the API: decimal strings with all decimals of the currency.

use formats::Currency;

/// Formats minor units as a decimal string: 1467 US cents are "14.67", 500 yen are "500".
pub fn decimal(minor: i64, currency: &str) -> String {
    decimals(currency)(minor)
}

/// The same for many amounts in one currency.
pub(crate) fn decimals(code: &str) -> impl Fn(i64) -> String + use<> {
    let currency = Currency::from_code(code).inspect_err(|unknown| {
        // The projector knows a currency that this program does not. Roll this program out first.
        tracing::error!(currency = code, %unknown, "an amount is shown in minor units");
    });
    move |minor| currency.map_or_else(|_| minor.to_string(), |currency| currency.decimal(minor))
}
