//! Version 2 of the API: what it shows in another way than version 1. Money is an object, and a
//! user has the profile and the preferences below it.

use utoipa_axum::router::OpenApiRouter;

use super::{Api, resource};

mod customer;
mod order;
mod product;
mod product_sales;
mod profile;
mod sales;
mod user;

/// All routes of this version, without the prefix.
pub(super) fn routes() -> OpenApiRouter<Api> {
    resource::routes()
        .merge(user::routes())
        .merge(profile::routes())
        .merge(order::routes())
        .merge(product::routes())
        .merge(sales::routes())
        .merge(product_sales::routes())
        .merge(customer::routes())
}
