//! GraphQL at one address: one schema with queries, mutations and subscriptions.
//!
//! An operation is of one kind, so it goes to the API of that kind, as it was sent. The API checks
//! and answers it. A web socket goes to the query API (`socket.rs`). The front answers only what no
//! API can: a request whose operation cannot be determined, and a question for the schema of both
//! (`schema.rs`).

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{HeaderValue, VARY};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use graphql_kit::accept::AnswerType;
use graphql_kit::{answer, endpoint, request};
use service_kit::Problem;
use service_kit::body::read_body;
use service_kit::extract::require_json;
use service_kit::http::asks_for_web_socket;
use tokio::time::Instant;

use crate::api::Api;
use crate::front::Front;
use crate::schema::Schema;

mod destination;

use destination::{Destination, Refused};

/// The path of the endpoint, here and at the APIs.
pub(crate) const PATH: &str = "/graphql";
/// The `Retry-After` while the schema is not known, in seconds.
const RETRY_AFTER: u64 = 1;

/// Answers a request to the endpoint, which came at `came`.
pub(crate) async fn answer(
    front: &Front,
    request: Request,
    came: Instant,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    if asks_for_web_socket(&parts.headers) {
        return front.relay_socket(PATH, parts).await;
    }
    let (read, body) = if parts.method == Method::GET {
        (request::from_query(parts.uri.query().unwrap_or_default()), Bytes::new())
    } else if parts.method == Method::POST {
        require_json(&parts.headers)?;
        let body = read_body(body).await?;
        (request::from_body(&body), body)
    } else {
        return Err(endpoint::not_allowed("GET, POST"));
    };
    match destination::of(read) {
        Ok(Destination::Api(api)) => front.relay(api, PATH, (parts, body), came).await,
        Ok(Destination::Schema(request)) => match &front.known().schema {
            Schema::Known(schema) => {
                let wanted = wanted(&parts.headers)?;
                Ok(own(answer::executed(schema.execute(*request).await, wanted)))
            }
            // The API refuses it in its own words.
            Schema::Hidden => front.relay(Api::Query, PATH, (parts, body), came).await,
            Schema::Unknown(why) => Err(unknown(why)),
        },
        Err(refused) => {
            let wanted = wanted(&parts.headers)?;
            Ok(own(match refused {
                Refused::Unreadable(error) => answer::unreadable(&[answer::refusal(error)], wanted),
                Refused::NotExecuted(error) => answer::refused(vec![error], wanted),
            }))
        }
    }
}

fn wanted(headers: &HeaderMap) -> Result<AnswerType, Problem> {
    AnswerType::of(headers).ok_or_else(endpoint::not_acceptable)
}

/// An answer of the front itself.
fn own(mut answer: Response) -> Response {
    answer.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    answer
}

fn unknown(why: &str) -> Problem {
    let title = "The GraphQL schema of both APIs is not known";
    Problem::unavailable("graphql/schema-unknown", title, RETRY_AFTER).detail(why)
}
