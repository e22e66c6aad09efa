//! Version 1 of the API: what it shows in another way than version 2. Its answers are frozen
//! (`tests/it/contract.rs`).

use utoipa_axum::router::OpenApiRouter;

use super::{Api, resource};

mod customer;
mod order;
mod product;
mod product_sales;
mod sales;
mod user;

/// All routes of this version, without the prefix.
pub(super) fn routes() -> OpenApiRouter<Api> {
    resource::routes()
        .merge(user::routes())
        .merge(order::routes())
        .merge(product::routes())
        .merge(sales::routes())
        .merge(product_sales::routes())
        .merge(customer::routes())
}
