//! Tax rates per country, region and rate class.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PricingError, PricingRuleError};
use crate::value::{Country, Destination, Rate, RateClass, Region};

/// Whether prices contain the tax.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaxMode {
    /// The tax is added to the prices of the lines.
    #[default]
    Exclusive,
    /// The prices of the lines contain the tax.
    Inclusive,
}

/// The error for a text that is not a [`TaxMode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mode of a tax is not exclusive or inclusive")]
pub struct TaxModeError;

impl FromStr for TaxMode {
    type Err = TaxModeError;

    fn from_str(text: &str) -> Result<Self, TaxModeError> {
        match text {
            "exclusive" => Ok(Self::Exclusive),
            "inclusive" => Ok(Self::Inclusive),
            _ => Err(TaxModeError),
        }
    }
}

/// The taxes of a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountryTax {
    /// Whether prices contain the tax.
    pub mode: TaxMode,
    /// The rates, one for each region and class.
    pub rates: Vec<TaxRate>,
}

/// A tax rate of a country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaxRate {
    /// The region that it is for, or `None` if it is for all regions without a rate of their own.
    pub region: Option<Region>,
    /// The class that it is for.
    pub rate_class: RateClass,
    /// The rate.
    pub rate: Rate,
}

/// The taxes of all countries that the shop sells to. The default has none: the shop levies no
/// tax.
#[derive(Debug, Clone, Default)]
pub struct TaxTable(BTreeMap<Country, CountryTax>);

impl TaxTable {
    /// Makes the table of these countries.
    ///
    /// # Errors
    /// [`PricingRuleError::RepeatedTax`] if a country, or a region and class in it, is there twice.
    pub fn new(
        countries: impl IntoIterator<Item = (Country, CountryTax)>,
    ) -> Result<Self, PricingRuleError> {
        let mut table = BTreeMap::new();
        for (country, tax) in countries {
            let of = |rate: &TaxRate| (rate.region.clone(), rate.rate_class);
            let different: BTreeSet<_> = tax.rates.iter().map(of).collect();
            if different.len() < tax.rates.len() || table.insert(country, tax).is_some() {
                return Err(PricingRuleError::RepeatedTax);
            }
        }
        Ok(Self(table))
    }

    /// The table of countries that [`TaxTable::new`] has accepted before.
    pub(super) fn of_accepted(countries: impl Iterator<Item = (Country, CountryTax)>) -> Self {
        Self(countries.collect())
    }

    /// Whether the shop levies no tax.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rates of these classes at the destination, in the sequence of the classes.
    pub(super) fn rates(
        &self,
        destination: Option<&Destination>,
        classes: impl Iterator<Item = RateClass>,
    ) -> Result<(TaxMode, Vec<(RateClass, Rate)>), PricingError> {
        if self.is_empty() {
            return Ok((TaxMode::default(), Vec::new()));
        }
        let destination = destination.ok_or(PricingError::NoDestination)?;
        let country = self.0.get(&destination.country);
        let rate = |rate_class| {
            let rate = country.and_then(|country| country.rate(destination, rate_class));
            let missing = PricingError::NoTaxRate { country: destination.country, rate_class };
            Ok((rate_class, rate.ok_or(missing)?))
        };
        let classes: BTreeSet<RateClass> = classes.collect();
        let rates = classes.into_iter().map(rate).collect::<Result<_, PricingError>>()?;
        Ok((country.map_or_else(TaxMode::default, |country| country.mode), rates))
    }
}

impl CountryTax {
    /// The rate of the region, or else the one of the country.
    fn rate(&self, destination: &Destination, rate_class: RateClass) -> Option<Rate> {
        let of = |region: Option<&Region>| {
            let mut rates = self.rates.iter();
            rates.find(|rate| rate.rate_class == rate_class && rate.region.as_ref() == region)
        };
        of(destination.region.as_ref()).or_else(|| of(None)).map(|rate| rate.rate)
    }
}
