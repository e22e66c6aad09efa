//! What all versions of the API have in common: one file per resource, with its tag, routes, bodies
//! and thin handlers. Paths have no prefix here. What differs from one version to the next is in
//! `v1/` and `v2/`.

use utoipa_axum::router::OpenApiRouter;

use super::Api;

mod auth;
mod command;
mod fulfilment;
pub(super) mod order;
mod pricing;
pub(super) mod product;
mod shipping;
pub(super) mod user;

/// The routes that all versions share. Each resource has its paths and its OpenAPI tag.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        // One line each.
        .merge(user::routes())
        .merge(product::routes())
        .merge(order::routes())
        .merge(auth::routes())
        .merge(command::routes())
        .merge(fulfilment::routes())
        .merge(shipping::routes())
        .merge(pricing::routes())
}
