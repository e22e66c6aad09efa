//! What others need to verify access tokens, under `/.well-known`.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use identity::Moment;

use super::Api;

/// The path of the public keys, as a JWK set (RFC 7517).
const KEYS: &str = "/.well-known/jwks.json";
/// The path of the list of what is revoked.
const REVOCATIONS: &str = "/.well-known/revocations.json";
/// The media type of a JWK set.
const JWK_SET: &str = "application/jwk-set+json";

/// The routes.
pub(super) fn routes() -> Router<Api> {
    Router::new().route(KEYS, get(keys)).route(REVOCATIONS, get(revocations))
}

async fn revocations(State(api): State<Api>) -> Response {
    if !api.gate.revocations().is_known() {
        return identity::problem::no_keys().into_response();
    }
    let now = Moment::of_micros(api.clock.now().timestamp_micros());
    Json(api.gate.revocations().published(now)).into_response()
}

async fn keys(State(api): State<Api>) -> Response {
    ([(CONTENT_TYPE, JWK_SET)], Json(api.issuer.keys().published())).into_response()
}
