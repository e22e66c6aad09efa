//! Limits the rate of each client's requests.
//!
//! A client has a number of requests at hand, which fills up at a steady rate (GCRA, the generic
//! cell rate algorithm of ITU-T I.371). Every answer says how many are left, in the fields
//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers). The limit is that of
//! one process: with several copies of a process, a client has as many times the rate.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::HeaderName;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::address::ClientKey;
use super::wire::Wire;
use crate::problem::Problem;
use crate::shed;

/// The maximum number of clients that are remembered. A client that was forgotten begins with all
/// its requests at hand.
const MAX_CLIENTS: usize = 50_000;
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

type Bucket = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// A rate: requests per second, and how many may come at once.
///
/// The text form is `RATE` or `RATE/BURST`, both from 1. `off` is no limit.
///
/// ```
/// use service_kit::http::RateLimit;
///
/// assert_eq!("100".parse::<RateLimit>()?.to_string(), "100/100");
/// assert_eq!("100/200".parse::<RateLimit>()?.to_string(), "100/200");
/// assert_eq!("off".parse::<RateLimit>()?.to_string(), "off");
/// # Ok::<(), service_kit::http::InvalidRate>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit(Option<Rate>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// The error for a text that is not a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected RATE or RATE/BURST in requests per second, each from 1, or `off`")]
pub struct InvalidRate;

/// Whose requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// Those of somebody who is signed in.
    Caller(Uuid),
    /// Those from an address; for IPv6 from a network of 64 bits.
    Address(RateAddress),
    /// Those that have no address, because they are made inside this process.
    Inside,
}

/// An address as rates are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateAddress(ClientKey);

/// Counts the requests of all clients. Clones share the counts.
#[derive(Debug, Clone)]
pub struct RateLimits {
    /// The name of the policy in the header fields.
    policy: Arc<str>,
    limit: Option<Rate>,
    clients: Arc<Cache<RateKey, Arc<Bucket>>>,
    clock: DefaultClock,
}

/// What is left to a client after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    policy: Arc<str>,
    rate: Rate,
    remaining: u32,
    /// The time until all requests are at hand again.
    full_in: Duration,
}

impl RateLimit {
    /// No limit.
    pub const OFF: Self = Self(None);
}

impl RateKey {
    /// The address of a request's client: the peer of its connection, or the client that a trusted
    /// proxy names.
    pub fn of_address(request: &Request) -> Self {
        match request.extensions().get::<Wire>() {
            Some(wire) => wire.client(request.headers()).into(),
            None => Self::Inside,
        }
    }
}

impl From<IpAddr> for RateKey {
    fn from(address: IpAddr) -> Self {
        Self::Address(RateAddress(ClientKey::of(address)))
    }
}

impl RateLimits {
    /// Limits each client to this rate. `policy` names it in the header fields; it consists of
    /// letters, digits, `_` and `-`.
    pub fn new(policy: &str, limit: RateLimit) -> Self {
        Self {
            policy: policy.into(),
            limit: limit.0,
            clients: Arc::new(Cache::new(MAX_CLIENTS)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request. `None` if there is no limit.
    ///
    /// # Errors
    /// 429 if the client has no request at hand.
    pub fn count(&self, client: RateKey) -> Result<Option<Left>, Problem> {
        let Some(rate) = self.limit else { return Ok(None) };
        let bucket = self.bucket(client, rate);
        match bucket.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = rate.burst.get().saturating_sub(remaining);
                let full_in = Duration::from_secs(missing.into()) / rate.per_second.get();
                Ok(Some(Left { policy: Arc::clone(&self.policy), rate, remaining, full_in }))
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                let full_in = Duration::from_secs(rate.burst.get().into()) / rate.per_second.get();
                let policy = Arc::clone(&self.policy);
                let left = Left { policy, rate, remaining: 0, full_in };
                Err(left.refusal(wait))
            }
        }
    }

    /// Counts a request that gets this problem, by the address of its client.
    pub fn counted(&self, request: &Request, problem: Problem) -> Response {
        match self.count(RateKey::of_address(request)) {
            Ok(left) => {
                let mut response = problem.into_response();
                if let Some(left) = left {
                    left.write(response.headers_mut());
                }
                response
            }
            Err(too_many) => {
                shed::count(too_many.code());
                too_many.into_response()
            }
        }
    }

    fn bucket(&self, client: RateKey, rate: Rate) -> Arc<Bucket> {
        // Two first requests at once may make two buckets. One of them is forgotten at once.
        self.clients.get(&client).unwrap_or_else(|| {
            let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
            let bucket = Arc::new(RateLimiter::direct(quota).with_middleware());
            self.clients.insert(client, Arc::clone(&bucket));
            bucket
        })
    }
}

impl Left {
    /// Adds the header fields.
    pub fn write(&self, headers: &mut HeaderMap) {
        let Self { policy: name, rate: Rate { per_second, burst }, .. } = self;
        let window = burst.get().div_ceil(per_second.get());
        let policy = format!("\"{name}\";q={burst};w={window}");
        let (remaining, full_in) = (self.remaining, whole_seconds(self.full_in));
        let left = format!("\"{name}\";r={remaining};t={full_in}");
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
            // It has digits and a plain name, so it is always valid.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        }
    }

    fn refusal(&self, wait: Duration) -> Problem {
        let mut headers = HeaderMap::new();
        self.write(&mut headers);
        let problem = Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate-limited",
            "This client sends too many requests",
        );
        let problem = problem.retry_after(whole_seconds(wait).max(1));
        headers.into_iter().fold(problem, |problem, (name, value)| match name {
            Some(name) => problem.header(name, value),
            None => problem,
        })
    }
}

/// The duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl std::fmt::Display for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Rate { per_second, burst }) => write!(f, "{per_second}/{burst}"),
            None => f.write_str("off"),
        }
    }
}

impl std::str::FromStr for RateLimit {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let (rate, burst) = text.split_once('/').unwrap_or((text, text));
        let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_| InvalidRate);
        Ok(Self(Some(Rate { per_second: number(rate)?, burst: number(burst)? })))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn limits(text: &str) -> RateLimits {
        RateLimits::new("default", text.parse().unwrap())
    }

    fn field(headers: &HeaderMap, name: &HeaderName) -> String {
        headers.get(name).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_client_has_its_burst_and_no_more_and_others_have_theirs() {
        let limits = limits("1/3");
        let (one, other) = (RateKey::Caller(Uuid::from_u128(1)), RateKey::Caller(Uuid::nil()));
        for left in [2, 1, 0] {
            assert_eq!(limits.count(one).unwrap().unwrap().remaining, left);
        }
        let refused = limits.count(one).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "rate-limited"));
        assert_eq!(refused.retry_after_seconds(), Some(1));
        assert!(limits.count(other).is_ok() && limits.clone().count(one).is_err());
    }

    #[test]
    fn the_fields_say_what_is_allowed_and_what_is_left() {
        let limits = limits("10/25");
        let client = RateKey::from(IpAddr::from([192, 0, 2, 7]));
        let mut headers = HeaderMap::new();
        limits.count(client).unwrap().unwrap().write(&mut headers);
        assert_eq!(field(&headers, &RATE_LIMIT_POLICY), "\"default\";q=25;w=3");
        assert_eq!(field(&headers, &RATE_LIMIT), "\"default\";r=24;t=1");
    }

    #[test]
    fn addresses_of_one_subscriber_count_as_one() {
        let limits = limits("1/1");
        let keys = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
        let [one, same, other] = keys.map(|text| RateKey::from(text.parse::<IpAddr>().unwrap()));
        assert!(limits.count(one).is_ok());
        assert!(limits.count(same).is_err());
        assert!(limits.count(other).is_ok());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let limits = limits("off");
        for _ in 0..1_000 {
            assert_eq!(limits.count(RateKey::Inside).unwrap(), None);
        }
        assert_eq!(limits.clients.len(), 0);
    }

    #[test]
    fn any_other_text_is_no_rate() {
        for text in ["", "0", "1/0", "-1", "1/2/3", "1.5", "OFF", "1 / 2", "99999999999"] {
            assert_eq!(text.parse::<RateLimit>(), Err(InvalidRate), "{text:?}");
        }
    }
}
