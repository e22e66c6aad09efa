//! Money in version 1 of the API: decimal strings with all decimals of the currency.

use formats::Currency;

/// Formats minor units as a decimal string: 1467 US cents are "14.67", 500 yen are "500".
pub fn decimal(minor: i64, currency: &str) -> String {
    match Currency::from_code(currency) {
        Ok(currency) => currency.decimal(minor),
        Err(unknown) => {
            // The projector knows a currency that this program does not. Roll this program out
            // first.
            tracing::error!(currency, %unknown, "an amount is shown in minor units");
            minor.to_string()
        }
    }
}
