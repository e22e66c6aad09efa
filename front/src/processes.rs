//! `/processes` on the admin port: which processes run, as NATS knows them.
//!
//! The list is for people. The front sends no request to an address because it is there: every NATS
//! user can register under any name, and would get the passwords and tokens of others. Its settings
//! alone say where the APIs are.

use axum::routing::get;
use axum::{Json, Router};
use nats_kit::Registry;

/// The routes of the list. It is the last known one, and says so, while NATS is away.
pub fn processes(registry: Registry) -> Router {
    Router::new().route("/processes", get(async move || Json(registry.listing())))
}
