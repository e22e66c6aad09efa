//! Version 1 of the API: one file per resource, with its bodies and thin handlers.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::answer::Collection;

mod order;
mod product;
mod user;

/// The prefix of this version. The query API has the same collections under the same prefix.
pub(super) const PREFIX: &str = "/api/v1";

/// A collection in this version of the query API.
const fn collection(name: &'static str) -> Collection {
    Collection { prefix: PREFIX, name }
}

/// All paths of this version, without the prefix.
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
