//! The admin port: `/livez` (the process runs), `/readyz` (it can take work; `?verbose` lists the
//! components) and `/metrics`. A process may add an API for operators. None of it is on the public
//! port.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health::Health;
use crate::http::{Admit, Allowed, Screen, StepLayer};
use crate::telemetry::Metrics;

const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the admin port's routes.
pub fn router(health: Health, metrics: Metrics) -> Router {
    probes(health, metrics).fallback(async || crate::Problem::not_found()).layer(screened())
}

/// Returns the admin port's routes plus an API for operators. The API has the layers of every
/// public API. Web pages of other origins may not call it.
pub fn router_with(health: Health, metrics: Metrics, api: Router) -> Router {
    let api = crate::http::layered(api, &Allowed::default());
    probes(health, metrics).layer(screened()).fallback_service(api)
}

/// The layers of the probes: a router keeps each in a box, so they are one.
fn screened() -> (StepLayer<Screen>, StepLayer<Admit>) {
    (StepLayer(Screen), StepLayer(Admit(Arc::new(Allowed::default()))))
}

fn probes(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(async move || ([(CONTENT_TYPE, PROMETHEUS_TEXT)], metrics.render())))
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| {
        query.split('&').any(|word| word == "verbose" || word.starts_with("verbose="))
    });
    if verbose {
        (status, axum::Json(report)).into_response()
    } else if report.ready {
        (status, "ready\n").into_response()
    } else {
        let waiting: Vec<_> = report
            .components
            .iter()
            .filter(|(_, component)| component.required && !component.ready)
            .map(|(name, _)| &**name)
            .collect();
        let why = if report.draining {
            "draining".to_owned()
        } else {
            format!("not ready: {}", waiting.join(", "))
        };
        (status, format!("{why}\n")).into_response()
    }
}
