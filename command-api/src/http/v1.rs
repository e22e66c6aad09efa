//! Version 1 of the API: what it does not share with version 2. Its answers are frozen
//! (`tests/it/contract.rs`).

use utoipa_axum::router::OpenApiRouter;

use super::{Api, resource};

mod order;
mod pricing;
mod product;
mod refund;
mod user;

/// All routes of this version, without the prefix.
pub(super) fn routes() -> OpenApiRouter<Api> {
    resource::routes()
        .merge(user::routes())
        .merge(product::routes())
        .merge(order::routes())
        .merge(refund::routes())
        .merge(pricing::routes())
}
