//! What the versions of the API share: resources that all of them show in the same way, and the
//! filters and questions of the others.

use utoipa_axum::router::OpenApiRouter;

use super::Api;

mod audit;
pub(super) mod customer;
mod funnel;
mod history;
pub(super) mod order;
pub(super) mod product;
pub(super) mod product_sales;
mod saga;
pub(super) mod sales;
mod search;
pub(super) mod user;

/// The routes that all versions have, without the prefix of a version.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        // One line each.
        .merge(audit::routes())
        .merge(funnel::routes())
        .merge(history::routes())
        .merge(saga::routes())
        .merge(search::routes())
}
