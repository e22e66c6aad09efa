//! How a test controls the sandbox, and reads what took effect:
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /_faults`, `PUT /_faults` | the rates of faults |
//! | `POST /_faults/next` | a list of faults that the next requests meet, in order |
//! | `POST /_arrivals/{order}` | the shipments of an order arrive |
//! | `GET /_counts` | what took effect, by key and by order |
//!
//! Faults are not part of the state: a restart begins with those of the command line.

use axum::extract::State as Extracted;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use crate::fault::{Faults, Next};
use crate::simulation::api::Sandbox;
use crate::simulation::arrivals::arrive;
use crate::simulation::state::Counts;

/// The maximum number of faults that wait for their request.
const MAX_SCRIPT: usize = 10_000;

pub(crate) fn routes() -> Router<Sandbox> {
    Router::new()
        .route("/_faults", get(faults).put(set_faults))
        .route("/_faults/next", post(next_faults))
        .route("/_arrivals/{order}", post(arrive))
        .route("/_counts", get(counts))
}

async fn faults(Extracted(here): Extracted<Sandbox>) -> Json<Faults> {
    Json(here.world().faults.clone())
}

async fn set_faults(Extracted(here): Extracted<Sandbox>, Json(faults): Json<Faults>) -> Response {
    match faults.checked() {
        Ok(faults) => {
            here.world().faults = faults;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn next_faults(
    Extracted(here): Extracted<Sandbox>,
    Json(script): Json<Vec<Next>>,
) -> Response {
    let mut world = here.world();
    if world.script.len() + script.len() > MAX_SCRIPT {
        let problem = format!("at most {MAX_SCRIPT} faults may wait");
        return (StatusCode::BAD_REQUEST, problem).into_response();
    }
    world.script.extend(script);
    StatusCode::NO_CONTENT.into_response()
}

async fn counts(Extracted(here): Extracted<Sandbox>) -> Json<Counts> {
    Json(here.counts())
}
