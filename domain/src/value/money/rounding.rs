//! Shares of an amount. Each is rounded to the minor unit, half a unit up.

use super::{Money, MoneyError};
use crate::value::Rate;

impl Money {
    /// Subtracts an amount.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] if the currencies differ, [`MoneyError::Negative`] if `other` is
    /// larger.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed { left: self.currency, right: other.currency });
        }
        Self::from_minor(self.minor - other.minor, self.currency)
    }

    /// This share of the amount, rounded to the minor unit, half a unit up.
    ///
    /// # Errors
    /// None in practice: a share is never larger than its amount.
    pub fn at_rate(self, rate: Rate) -> Result<Self, MoneyError> {
        self.ratio(rate.parts_per_million(), Rate::MAX)
    }

    /// The part of the amount that was added to its net amount at this rate: the tax that a price
    /// contains. It is rounded to the minor unit, half a unit up.
    ///
    /// # Errors
    /// None in practice: a part is never larger than its amount.
    pub fn contained_at_rate(self, rate: Rate) -> Result<Self, MoneyError> {
        let rate = rate.parts_per_million();
        self.ratio(rate, Rate::MAX + rate)
    }

    /// The amount times `numerator` / `denominator`, rounded half up.
    fn ratio(self, numerator: u32, denominator: u32) -> Result<Self, MoneyError> {
        let doubled = 2 * i128::from(self.minor) * i128::from(numerator);
        let denominator = i128::from(denominator);
        self.with_minor((doubled + denominator) / (2 * denominator))
    }

    /// Splits the amount in proportion to `weights` without losing a minor unit.
    ///
    /// Each share is rounded down. The units that are left go to the shares that lost most, the
    /// first of them first. If all weights are zero, so is each share.
    ///
    /// # Errors
    /// [`MoneyError::Mixed`] if the weights are in another currency.
    pub fn spread(self, weights: &[Self]) -> Result<Vec<Self>, MoneyError> {
        for weight in weights {
            if weight.currency != self.currency {
                return Err(MoneyError::Mixed { left: self.currency, right: weight.currency });
            }
        }
        let whole: i128 = weights.iter().map(|weight| i128::from(weight.minor)).sum();
        if whole == 0 {
            return Ok(vec![Self::zero(self.currency); weights.len()]);
        }
        let exact = weights.iter().map(|weight| i128::from(self.minor) * i128::from(weight.minor));
        let mut shares: Vec<(i128, i128)> =
            exact.map(|exact| (exact / whole, exact % whole)).collect();
        let given: i128 = shares.iter().map(|(share, _)| share).sum();
        // Fewer units are left than there are shares.
        let left = usize::try_from(i128::from(self.minor) - given).unwrap_or(usize::MAX);
        let mut by_loss: Vec<usize> = (0..shares.len()).collect();
        by_loss.sort_by_key(|at| std::cmp::Reverse(shares[*at].1));
        for at in by_loss.into_iter().take(left) {
            shares[at].0 += 1;
        }
        shares.into_iter().map(|(share, _)| self.with_minor(share)).collect()
    }

    /// An amount in the same currency.
    fn with_minor(self, minor: i128) -> Result<Self, MoneyError> {
        let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge)?;
        Self::from_minor(minor, self.currency)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn eur(minor: i64) -> Money {
        Money::from_minor(minor, "EUR".parse().unwrap()).unwrap()
    }

    /// A rate in hundredths of a percent.
    fn rate(basis_points: u32) -> Rate {
        ppm(basis_points * 100)
    }

    fn ppm(parts: u32) -> Rate {
        Rate::from_parts_per_million(parts).unwrap()
    }

    #[test]
    fn half_a_unit_is_rounded_up() {
        for (amount, basis_points, share) in
            [(5, 1_000, 1), (4, 1_000, 0), (15, 1_000, 2), (999, 1_900, 190), (1, 10_000, 1)]
        {
            assert_eq!(eur(amount).at_rate(rate(basis_points)), Ok(eur(share)), "{amount}");
        }
        assert_eq!(
            eur(Money::MAX_MINOR).at_rate(rate(10_000)),
            Ok(eur(Money::MAX_MINOR)),
            "the largest amount does not overflow"
        );
    }

    #[test]
    fn a_rate_of_a_thousandth_of_a_percent_counts() {
        // 8.875 %, the sales tax of New York City: 0.08875 of 40.00 is 3.55, and of 4.00 is 0.355.
        assert_eq!(eur(4_000).at_rate(ppm(88_750)), Ok(eur(355)));
        assert_eq!(eur(400).at_rate(ppm(88_750)), Ok(eur(36)));
        assert_eq!(eur(4_355).contained_at_rate(ppm(88_750)), Ok(eur(355)));
        assert_eq!(eur(499_999).at_rate(ppm(1)), Ok(eur(0)));
        assert_eq!(eur(500_000).at_rate(ppm(1)), Ok(eur(1)));
    }

    #[test]
    fn a_contained_tax_is_what_was_added() {
        assert_eq!(eur(11_900).contained_at_rate(rate(1_900)), Ok(eur(1_900)));
        // 1.00 contains 0.1597 at 19 %.
        assert_eq!(eur(100).contained_at_rate(rate(1_900)), Ok(eur(16)));
        assert_eq!(eur(100).contained_at_rate(rate(0)), Ok(eur(0)));
    }

    #[test]
    fn the_units_that_are_left_go_to_the_shares_that_lost_most() {
        let spread = |amount, weights: &[i64]| {
            let weights: Vec<Money> = weights.iter().copied().map(eur).collect();
            let shares = eur(amount).spread(&weights).unwrap();
            shares.into_iter().map(Money::minor).collect::<Vec<_>>()
        };
        assert_eq!(spread(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(spread(10, &[999, 501]), [7, 3]);
        assert_eq!(spread(1, &[1, 2]), [0, 1]);
        assert_eq!(spread(0, &[5, 0]), [0, 0]);
        assert_eq!(spread(5, &[0, 0]), [0, 0]);
    }

    #[test]
    fn what_is_taken_away_is_at_most_what_is_there() {
        assert_eq!(eur(5).minus(eur(5)), Ok(eur(0)));
        assert_eq!(eur(5).minus(eur(6)), Err(MoneyError::Negative));
        let usd = Money::from_minor(1, "USD".parse().unwrap()).unwrap();
        assert!(matches!(eur(5).minus(usd), Err(MoneyError::Mixed { .. })));
        assert!(matches!(eur(5).spread(&[usd]), Err(MoneyError::Mixed { .. })));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_a_spread_and_no_share_exceeds_its_weight(
            weights in prop::collection::vec(0..=Money::MAX_MINOR / 100, 1..100),
            part in 0..=Rate::MAX,
        ) {
            let whole = eur(weights.iter().sum());
            let weights: Vec<Money> = weights.into_iter().map(eur).collect();
            let amount = whole.at_rate(ppm(part)).unwrap();
            let shares = amount.spread(&weights).unwrap();
            prop_assert_eq!(shares.iter().map(|share| share.minor()).sum::<i64>(), amount.minor());
            prop_assert!(shares.iter().zip(&weights).all(|(share, w)| share.minor() <= w.minor()));
        }
    }
}
