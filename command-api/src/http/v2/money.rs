//! Money in the bodies of version 2: an object. The application has an amount and a currency next
//! to each other, as version 1 does.

use serde::Deserialize;
use service_kit::Problem;
use service_kit::input::schema::{CurrencyOfAnyTime, CurrencyOfToday};
use utoipa::ToSchema;

/// An amount of money.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Money {
    /// The amount, as a decimal string.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "14.67")]
    pub(super) amount: String,
    /// The currency. It must be on the current ISO 4217 list.
    #[schema(value_type = CurrencyOfToday)]
    pub(super) currency: String,
}

/// An amount of money, perhaps in a currency that was withdrawn.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PastMoney {
    /// The amount, as a decimal string.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "9.99")]
    pub(super) amount: String,
    /// The currency. It may be any that ISO 4217 lists or once listed.
    #[schema(value_type = CurrencyOfAnyTime)]
    pub(super) currency: String,
}

/// A field of money, by the name that the application has for its amount.
pub(super) struct MoneyField(&'static str);

/// The price of a unit.
pub(super) const UNIT_PRICE: MoneyField = MoneyField("unit_price");
/// An amount that is given back, or taken off.
pub(super) const AMOUNT: MoneyField = MoneyField("amount");

impl MoneyField {
    /// Moves what a problem points at: the application's `/unit_price` is `/unit_price/amount`
    /// here, and the `/currency` next to it is `/unit_price/currency`.
    pub(super) fn nest(&self, problem: Problem) -> Problem {
        problem.moved(|pointer| self.moved(pointer))
    }

    fn moved(&self, pointer: &str) -> String {
        let Self(name) = self;
        match pointer.rsplit_once('/') {
            Some((object, "currency")) => format!("{object}/{name}/currency"),
            Some((object, last)) if last == *name => format!("{object}/{name}/amount"),
            _ => pointer.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_to_money_goes_into_the_object_and_any_other_stays() {
        for (field, from, to) in [
            (UNIT_PRICE, "/unit_price", "/unit_price/amount"),
            (UNIT_PRICE, "/currency", "/unit_price/currency"),
            (UNIT_PRICE, "/lines/3/unit_price", "/lines/3/unit_price/amount"),
            (UNIT_PRICE, "/lines/3/quantity", "/lines/3/quantity"),
            (AMOUNT, "/discounts/0/amount", "/discounts/0/amount/amount"),
            (AMOUNT, "/discounts/0", "/discounts/0"),
            (AMOUNT, "", ""),
        ] {
            assert_eq!(field.moved(from), to);
        }
    }
}
