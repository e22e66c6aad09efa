//! Version 1 of the API: a file per resource, with its bodies and thin handlers.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::answer::Collection;

mod order;
mod product;
mod user;

/// Where this version is mounted. The query API has the same collections under the same prefix.
pub(super) const PREFIX: &str = "/api/v1";

/// A collection of this version.
const fn collection(name: &'static str) -> Collection {
    Collection { prefix: PREFIX, name }
}

/// Every path, without the prefix.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(user::register))
        .routes(routes!(user::change, user::deactivate))
        .routes(routes!(user::place_order))
        .routes(routes!(product::add))
        .routes(routes!(product::change))
        .routes(routes!(product::adjust_stock))
        .routes(routes!(order::place))
        .routes(routes!(order::import))
        .routes(routes!(order::add_line))
        .routes(routes!(order::remove_line))
        .routes(routes!(order::confirm))
        .routes(routes!(order::cancel))
}
