//! Version 2 of the API: what it does not share with version 1. Money is an object, and a user has
//! the profile and the preferences below it.

use utoipa_axum::router::OpenApiRouter;

use super::{Api, resource};

mod money;
mod order;
mod pricing;
mod product;
mod profile;
mod refund;
mod user;

/// All routes of this version, without the prefix.
pub(super) fn routes() -> OpenApiRouter<Api> {
    resource::routes()
        .merge(user::routes())
        .merge(profile::routes())
        .merge(product::routes())
        .merge(order::routes())
        .merge(refund::routes())
        .merge(pricing::routes())
}
