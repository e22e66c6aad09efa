//! Money as version 1 of the API shows it: decimal strings with as many places as the currency has.

use formats::Currency;

/// Minor units as a decimal string: 1467 US cents are "14.67", 500 yen "500".
pub fn decimal(minor: i64, currency: &str) -> String {
    match Currency::from_code(currency) {
        Ok(currency) => currency.decimal(minor),
        Err(unknown) => {
            // The projector knows a currency that this program does not: roll this one out first.
            tracing::error!(currency, %unknown, "an amount is shown in minor units");
            minor.to_string()
        }
    }
}
