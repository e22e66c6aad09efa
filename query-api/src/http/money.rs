//! Money as version 1 of the API shows it: decimal strings with as many places as the currency has.

/// Minor units as a decimal string: 1467 US cents are "14.67", 500 yen "500".
pub(super) fn decimal(minor: i64, currency: &str) -> String {
    let places = iso_currency::Currency::from_code(currency).and_then(iso_currency::Currency::exponent).unwrap_or(0);
    let digits = minor.unsigned_abs().to_string();
    let places = usize::from(places);
    let sign = if minor < 0 { "-" } else { "" };
    if places == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = padded.split_at(padded.len() - places);
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn each_currency_has_its_own_number_of_places() {
        for (minor, currency, text) in [
            (1467, "USD", "14.67"),
            (0, "USD", "0.00"),
            (5, "USD", "0.05"),
            (500, "JPY", "500"),
            (1, "KWD", "0.001"),
            (-250, "EUR", "-2.50"),
            (i64::MAX, "USD", "92233720368547758.07"),
        ] {
            assert_eq!(decimal(minor, currency), text);
        }
    }
}
