//! Where an order goes, as far as taxes depend on it: a country and a region.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The codes of ISO 3166-1 alpha-2, sorted.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
    BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY \
    CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN \
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH \
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL \
    PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV \
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN \
    VU WF WS YE YT ZA ZM ZW";

/// A country: a code of ISO 3166-1 alpha-2, such as `DE`.
///
/// Deserialising accepts only codes on the list. A code that ISO 3166 withdraws stays on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(&'static str);

/// A region of a country: the second part of a code of ISO 3166-2, such as `CA` of `US-CA`.
///
/// Deserialising does not check it again, because a region in a stored event was valid when it was
/// written.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Region(String);

/// Where an order goes, as far as taxes depend on it. It is no personal data: millions share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Destination {
    /// The country.
    pub country: Country,
    /// The region, where a country's taxes depend on it.
    pub region: Option<Region>,
}

/// Why a text is not a country or a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The text is not a code of ISO 3166-1 alpha-2.
    #[error("the country is not a code of ISO 3166-1, such as DE")]
    UnknownCountry,
    /// The text is not one to three capital letters or digits.
    #[error("the region is not one to three capital letters or digits, such as CA")]
    MalformedRegion,
}

impl Country {
    /// All countries, sorted by their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        COUNTRIES.split_whitespace().map(Self)
    }

    /// The code: two upper-case letters.
    pub const fn code(self) -> &'static str {
        self.0
    }
}

impl FromStr for Country {
    type Err = DestinationError;

    fn from_str(code: &str) -> Result<Self, DestinationError> {
        let known = COUNTRIES.split_whitespace().find(|known| *known == code);
        known.map(Self).ok_or(DestinationError::UnknownCountry)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Country {
    fn schema_name() -> Cow<'static, str> {
        "Country".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A country: a code of ISO 3166-1 alpha-2, such as `DE`.",
            "type": "string",
            "pattern": "^[A-Z]{2}$",
        })
    }
}

impl Region {
    /// Accepts one to three capital letters or digits.
    ///
    /// # Errors
    /// [`DestinationError::MalformedRegion`].
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if (1..=3).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DestinationError::MalformedRegion)
        }
    }

    /// The code of the region within its country.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNTRIES, Country, DestinationError, Region};

    #[test]
    fn a_country_is_on_the_list() {
        assert_eq!(COUNTRIES.split_whitespace().count(), 249);
        assert!(COUNTRIES.split_whitespace().is_sorted());
        assert_eq!("DE".parse().map(Country::code), Ok("DE"));
        for text in ["", "de", "XX", "DEU", "D", "DE FR"] {
            assert_eq!(text.parse::<Country>(), Err(DestinationError::UnknownCountry), "{text}");
        }
    }

    #[test]
    fn a_region_is_short_and_in_capitals() {
        for text in ["BY", "1", "ENG"] {
            assert_eq!(Region::parse(text).as_ref().map(Region::as_str), Ok(text));
        }
        for text in ["", "by", "US-CA", "ABCD", "Ä"] {
            assert_eq!(Region::parse(text), Err(DestinationError::MalformedRegion), "{text}");
        }
    }
}
