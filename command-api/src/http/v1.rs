//! Version 1 of the API: one file per resource, with its tag, routes, bodies and thin
//! handlers.

use utoipa_axum::router::OpenApiRouter;

use super::Api;
use super::answer::Collection;

mod auth;
mod command;
mod fulfilment;
mod order;
mod pricing;
mod product;
mod shipping;
mod user;

/// The prefix of this version. The query API has the same collections under the same prefix.
pub(super) const PREFIX: &str = "/api/v1";

/// The prefix of all paths of identity. They are no commands.
pub(super) const IDENTITY: &str = "/api/v1/auth/";

/// A collection in this version of the query API.
const fn collection(name: &'static str) -> Collection {
    Collection { prefix: PREFIX, name }
}

/// All resources of this version. Each has its paths, without the prefix, and its OpenAPI tag.
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
