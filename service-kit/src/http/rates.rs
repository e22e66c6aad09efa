//! The rates of an API: one for all operations, and others for single ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use utoipa::openapi::OpenApi;

use super::rate::{InvalidRate, RateLimit, RateLimits};
use crate::openapi;

/// The name of the policy for operations without one of their own.
const DEFAULT: &str = "default";

/// The setting: a rate for every operation, and rates of their own for operations by their
/// `operationId`.
///
/// ```
/// use service_kit::http::RateSettings;
///
/// let settings: RateSettings = "100/200, placeOrder=5/20".parse()?;
/// assert_eq!(settings.to_string(), "100/200, placeOrder=5/20");
/// # Ok::<(), service_kit::http::InvalidRates>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateSettings {
    default: RateLimit,
    operations: BTreeMap<String, RateLimit>,
}

/// The text is not a list of rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRates {
    /// A word is not a rate.
    #[error("{0:?}: {1}")]
    Rate(String, #[source] InvalidRate),
    /// There is not exactly one rate without a name.
    #[error("expected one rate without a name, then OPERATION=RATE for single operations")]
    Default,
    /// An operation is named twice.
    #[error("{0} has two rates")]
    Twice(String),
}

/// The setting names operations that the API does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation {0}; the names are the operationIds of the OpenAPI document")]
pub struct UnknownOperation(String);

/// The limits of an API's operations. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Rates {
    default: RateLimits,
    operations: Arc<HashMap<(Method, String), RateLimits>>,
    names: Arc<HashMap<String, RateLimits>>,
}

impl RateSettings {
    /// No limits.
    pub const OFF: Self = Self { default: RateLimit::OFF, operations: BTreeMap::new() };

    /// The limits for the operations of this document. In each pair of `same`, the first operation
    /// does what the second one does. The two share a rate, unless the first has one of its own.
    ///
    /// # Errors
    /// The setting names an operation that the document does not have.
    pub fn rates(
        &self,
        document: &OpenApi,
        same: &[(&str, &str)],
    ) -> Result<Rates, UnknownOperation> {
        let limits =
            |(name, limit): (&String, &RateLimit)| (name.clone(), RateLimits::new(name, *limit));
        let mut names: HashMap<String, RateLimits> = self.operations.iter().map(limits).collect();
        for (other, name) in same {
            if let (false, Some(limits)) = (names.contains_key(*other), names.get(*name)) {
                names.insert((*other).to_owned(), limits.clone());
            }
        }
        let mut unknown: BTreeSet<&str> = self.operations.keys().map(String::as_str).collect();
        let mut operations = HashMap::new();
        for (method, path, operation) in openapi::operations(document) {
            let Some(name) = operation.operation_id.as_deref() else { continue };
            unknown.remove(name);
            if let Some(limits) = names.get(name) {
                operations.insert((method, path.to_owned()), limits.clone());
            }
        }
        match unknown.into_iter().next() {
            Some(name) => Err(UnknownOperation(name.to_owned())),
            None => Ok(Rates {
                default: RateLimits::new(DEFAULT, self.default),
                operations: Arc::new(operations),
                names: Arc::new(names),
            }),
        }
    }
}

impl Rates {
    /// The limits that count for an operation. `path` is the template of its path. HEAD counts as
    /// the GET that answers it.
    pub fn of(&self, method: &Method, path: &str) -> &RateLimits {
        if self.operations.is_empty() {
            return &self.default;
        }
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.operations.get(&(method.clone(), path.to_owned())).unwrap_or(&self.default)
    }

    /// The limits of the operation that a request is for.
    pub fn of_request(&self, request: &Request) -> &RateLimits {
        let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        self.of(request.method(), path)
    }

    /// The limits of the operation with this `operationId`.
    pub fn named(&self, name: &str) -> &RateLimits {
        self.names.get(name).unwrap_or(&self.default)
    }

    /// The limits of what is no operation.
    pub const fn others(&self) -> &RateLimits {
        &self.default
    }
}

impl std::fmt::Display for RateSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.default)?;
        self.operations.iter().try_for_each(|(name, limit)| write!(f, ", {name}={limit}"))
    }
}

impl std::str::FromStr for RateSettings {
    type Err = InvalidRates;

    fn from_str(text: &str) -> Result<Self, InvalidRates> {
        let (mut default, mut operations) = (None, BTreeMap::new());
        for word in text.split(',').map(str::trim) {
            let (name, rate) = match word.split_once('=') {
                Some((name, rate)) => (Some(name.trim()), rate.trim()),
                None => (None, word),
            };
            let limit = rate.parse().map_err(|error| InvalidRates::Rate(word.to_owned(), error))?;
            match name {
                None if default.is_some() => return Err(InvalidRates::Default),
                None => default = Some(limit),
                Some(name) => {
                    if operations.insert(name.to_owned(), limit).is_some() {
                        return Err(InvalidRates::Twice(name.to_owned()));
                    }
                }
            }
        }
        Ok(Self { default: default.ok_or(InvalidRates::Default)?, operations })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use utoipa::openapi::path::{OperationBuilder, PathItem, PathsBuilder};
    use utoipa::openapi::{HttpMethod, Info, OpenApiBuilder};

    use super::*;
    use crate::http::rate::RateKey;

    fn document() -> OpenApi {
        let operation = |name| OperationBuilder::new().operation_id(Some(name)).build();
        let mut item = PathItem::new(HttpMethod::Post, operation("place"));
        item.get = Some(operation("list"));
        let paths = PathsBuilder::new().path("/things", item).build();
        OpenApiBuilder::new().info(Info::new("test", "1")).paths(paths).build()
    }

    #[test]
    fn an_operation_with_a_rate_of_its_own_counts_alone() {
        let settings: RateSettings = "1/5, place=1/1".parse().unwrap();
        let rates = settings.rates(&document(), &[]).unwrap();
        let count = |method| rates.of(&method, "/things").count(RateKey::Inside).is_ok();
        assert!(count(Method::POST) && !count(Method::POST));
        for _ in 0..5 {
            assert!(count(Method::GET));
        }
        assert!(!count(Method::GET), "all others share the default");
        assert!(rates.of(&Method::POST, "/others").count(RateKey::Inside).is_err());
    }

    #[test]
    fn a_rate_counts_for_its_method_alone_and_for_head_as_for_get() {
        let methods = [
            (HttpMethod::Get, vec![Method::GET, Method::HEAD]),
            (HttpMethod::Put, vec![Method::PUT]),
            (HttpMethod::Post, vec![Method::POST]),
            (HttpMethod::Patch, vec![Method::PATCH]),
            (HttpMethod::Delete, vec![Method::DELETE]),
        ];
        let all = methods.clone().map(|(_, methods)| methods).concat();
        for (described, limited) in methods {
            let operation = OperationBuilder::new().operation_id(Some("one")).build();
            let paths = PathsBuilder::new().path("/things", PathItem::new(described, operation));
            let info = Info::new("test", "1");
            let document = OpenApiBuilder::new().info(info).paths(paths.build()).build();
            let settings: RateSettings = "off, one=1/1".parse().unwrap();
            let rates = settings.rates(&document, &[]).unwrap();
            for method in &all {
                let left = rates.of(method, "/things").count(RateKey::Inside);
                let is_counted = !matches!(left, Ok(None));
                assert_eq!(is_counted, limited.contains(method), "{method} of {limited:?}");
            }
        }
    }

    #[test]
    fn two_operations_that_do_the_same_share_a_rate_unless_one_has_its_own() {
        for (text, is_shared) in [("off, place=1/1", true), ("off, place=1/1, list=1/1", false)] {
            let settings: RateSettings = text.parse().unwrap();
            let rates = settings.rates(&document(), &[("list", "place")]).unwrap();
            assert!(rates.of(&Method::POST, "/things").count(RateKey::Inside).is_ok());
            let other = rates.of(&Method::GET, "/things").count(RateKey::Inside);
            assert_eq!(other.is_err(), is_shared, "{text}");
            assert!(rates.named("list").count(RateKey::Inside).is_err());
            assert_eq!(rates.named("others").count(RateKey::Inside), Ok(None));
        }
    }

    #[test]
    fn an_operation_that_does_not_exist_is_named() {
        let settings: RateSettings = "off, plaice=1".parse().unwrap();
        let unknown = settings.rates(&document(), &[]).unwrap_err();
        assert_eq!(unknown, UnknownOperation("plaice".to_owned()));
    }

    #[test]
    fn any_other_text_is_no_list_of_rates() {
        let parse = |text: &str| text.parse::<RateSettings>();
        for text in ["", "a=1", "1, 2"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("1, a=1, a=2"), Err(InvalidRates::Twice("a".to_owned())));
        assert_eq!(parse("1, a=0"), Err(InvalidRates::Rate("a=0".to_owned(), InvalidRate)));
        assert_eq!(parse("off"), Ok(RateSettings::OFF));
    }
}
