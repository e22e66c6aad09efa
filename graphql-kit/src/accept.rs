//! Which media type an answer has: what the client accepts (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use service_kit::http::MediaRanges;

const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

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
        let Some(ranges) = MediaRanges::of(headers) else { return Some(Self::Json) };
        let (new, old) = (ranges.weight(GRAPHQL_RESPONSE), ranges.weight(JSON));
        match (new, old) {
            (0, 0) => None,
            (new, old) if new > old => Some(Self::GraphqlResponse),
            (new, old) if new == old && ranges.names(GRAPHQL_RESPONSE) => {
                Some(Self::GraphqlResponse)
            }
            _ => Some(Self::Json),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::header::ACCEPT;

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
