//! Read your own writes: the token that a query waits for, and the time limit of the wait.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use form_urlencoded::Serializer;
use serde::Deserialize;
use service_kit::consistency::{CONSISTENCY_TOKEN, ConsistencyToken, TokenError, TokenKey};
use service_kit::extract::parse_query;
use service_kit::http::{SingleError, single};
use service_kit::input::schema::{EntityTags, OpaqueText};
use service_kit::{FieldError, Problem};
use utoipa::IntoParams;

/// The maximum wait of a query if the caller asks for no other.
pub(crate) const DEFAULT_WAIT: Duration = Duration::from_secs(2);
/// The longest wait that a caller can ask for.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);

const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The query parameter that asks for a minimum position.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WaitParams {
    /// A command's consistency token. The answer waits until it shows the command's effect. Only a
    /// token of this system is valid (`consistency-token-invalid`). The header `Consistency-Token`
    /// does the same, and must not be another one (`contradicts-header`).
    #[param(required = false, inline, value_type = OpaqueText)]
    pub(crate) consistency_token: Option<String>,
}

/// The headers that every query understands, for the API's description. The code reads them
/// directly.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "only its description is used")]
pub(crate) struct QueryHeaders {
    /// A command's consistency token. The answer waits until it shows the command's effect. Only a
    /// token of this system is valid (`consistency-token-invalid`).
    #[param(rename = "Consistency-Token", required = false, inline, value_type = OpaqueText)]
    consistency_token: Option<String>,
    /// `wait=n`: wait up to n seconds for the token's position, at most 10. The default is 2.
    #[param(rename = "Prefer", required = false, nullable = false, example = "wait=5")]
    prefer: Option<String>,
    /// The answer must have one of these tags, otherwise it is 412.
    #[param(rename = "If-Match", required = false, inline, value_type = EntityTags)]
    if_match: Option<String>,
    /// The tags that the caller has stored. If one is still current, the answer is 304.
    #[param(rename = "If-None-Match", required = false, inline, value_type = EntityTags)]
    if_none_match: Option<String>,
}

/// A token that the caller waits for, and the time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) token: ConsistencyToken,
    pub(crate) patience: Duration,
    /// The seconds to report in `Preference-Applied`, if the caller named some.
    pub(crate) applied: Option<u64>,
}

impl Wait {
    /// Reads the wait from a request. Returns `None` if it has no token.
    pub(crate) fn of(
        headers: &HeaderMap,
        params: &WaitParams,
        key: &TokenKey,
    ) -> Result<Option<Self>, Problem> {
        let header = single(headers, &CONSISTENCY_TOKEN).map_err(|error| match error {
            SingleError::Repeated => TokenError::Repeated,
            SingleError::NotAscii => TokenError::Invalid,
        })?;
        let text = match (header, params.consistency_token.as_deref()) {
            (Some(header), Some(param)) if header != param => {
                let differs = FieldError::new(
                    "/consistency_token",
                    "contradicts-header",
                    "it differs from the header",
                );
                return Err(Problem::invalid(vec![differs]));
            }
            (Some(text), _) | (None, Some(text)) => text,
            (None, None) => return Ok(None),
        };
        let token = ConsistencyToken::verify(text, key)?;
        let applied = preferred_wait(headers);
        Ok(Some(Self {
            token,
            patience: applied.map_or(DEFAULT_WAIT, Duration::from_secs),
            applied,
        }))
    }

    /// Reads the wait of a request whose other parameters somebody else reads.
    pub(crate) fn of_others(
        headers: &HeaderMap,
        query: &str,
        key: &TokenKey,
    ) -> Result<Option<Self>, Problem> {
        let mut params = Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if name == "consistency_token" {
                params.append_pair(&name, &value);
            }
        }
        Self::of(headers, &parse_query(&params.finish())?, key)
    }

    pub(crate) fn preference_applied(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&format!("wait={}", self.applied?)).ok()
    }
}

/// The seconds of `Prefer: wait=n`, at most [`MAX_WAIT`]. Anything else is ignored, as RFC 7240
/// requires.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let preferences = headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    preferences
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse::<u64>().ok())
        .map(|seconds| seconds.min(MAX_WAIT.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_wait_is_found_among_others_and_bounded() {
        for (prefer, seconds) in [
            ("wait=5", Some(5)),
            ("respond-async, wait=0", Some(0)),
            ("WAIT = \"7\"; x=1", Some(7)),
            ("wait=600", Some(10)),
            ("wait=soon", None),
            ("return=minimal", None),
        ] {
            let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(prefer))]);
            assert_eq!(preferred_wait(&headers), seconds, "{prefer}");
        }
    }
}
