//! Which media type an answer has: what the client accepts (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerType {
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphqlResponse,
    /// `application/json`, for older clients. What was not executed is answered with 200, because
    /// such a client takes any other status for an answer of something between it and the server.
    Json,
}

impl AnswerType {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// The type that the client likes best, or `None` if it accepts neither. Without `Accept`, and
    /// for any type, it is [`AnswerType::Json`], as the draft advises.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(ACCEPT).iter().peekable();
        if fields.peek().is_none() {
            return Some(Self::Json);
        }
        let ranges: Vec<_> = fields
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','))
            .filter_map(Range::read)
            .collect();
        let weight = |name: &str| {
            let matching = ranges.iter().filter(|range| range.covers(name));
            matching.max_by_key(|range| range.precision()).map_or(0, |range| range.weight)
        };
        let (new, old) = (weight("graphql-response+json"), weight("json"));
        let is_named = ranges.iter().any(|range| range.subtype == "graphql-response+json");
        match (new, old) {
            (0, 0) => None,
            (new, old) if new > old || (new == old && is_named) => Some(Self::GraphqlResponse),
            _ => Some(Self::Json),
        }
    }
}

/// One media range of `Accept`, within `application/*`.
struct Range {
    /// The subtype, in lower case; `*` for any.
    subtype: String,
    /// Whether the range is `*/*`.
    is_any: bool,
    /// The weight in thousandths.
    weight: u32,
}

impl Range {
    /// Reads a range. One that cannot be an answer's type, or is malformed, is `None`.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let is_any = kind == "*" && subtype == "*";
        if !is_any && !kind.eq_ignore_ascii_case("application") {
            return None;
        }
        let mut weight = 1000;
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("q") {
                weight = thousandths(value.trim())?;
            }
        }
        Some(Self { subtype: subtype.to_ascii_lowercase(), is_any, weight })
    }

    fn covers(&self, name: &str) -> bool {
        self.subtype == "*" || self.subtype == name
    }

    /// How precisely the range names a type: the most precise one decides.
    fn precision(&self) -> u8 {
        if self.is_any { 0 } else { 1 + u8::from(self.subtype != "*") }
    }
}

/// Reads a weight: `0` to `1` with at most three decimals.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_valid = matches!(whole, "0" | "1")
        && decimals.len() <= 3
        && decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !is_valid {
        return None;
    }
    let all: u32 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (all <= 1000).then_some(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_type_that_the_client_likes_best_is_chosen() {
        use AnswerType::{GraphqlResponse, Json};
        let cases = [
            (&[][..], Some(Json)),
            (&["*/*"], Some(Json)),
            (&["application/*"], Some(Json)),
            (&["application/json"], Some(Json)),
            (&["APPLICATION/JSON; charset=utf-8"], Some(Json)),
            (&["application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/graphql-response+json, application/json"], Some(GraphqlResponse)),
            (&["application/json, application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/json", "application/graphql-response+json"], Some(GraphqlResponse)),
            (&["application/json, application/graphql-response+json;q=0.9"], Some(Json)),
            (&["application/graphql-response+json; q=0.5, */*;q=0.1"], Some(GraphqlResponse)),
            (&["application/graphql-response+json;q=0, */*"], Some(Json)),
            (&["application/json;q=0, */*"], Some(GraphqlResponse)),
            (&["text/html"], None),
            (&["application/json;q=0"], None),
            (&["application/json;q=7"], None),
            (&["text/html, */*;q=0.001"], Some(Json)),
        ];
        for (fields, expected) in cases {
            let headers = fields.iter().map(|field| (ACCEPT, field.parse().unwrap())).collect();
            assert_eq!(AnswerType::of(&headers), expected, "{fields:?}");
        }
    }
}
