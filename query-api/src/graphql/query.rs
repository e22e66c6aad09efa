//! The root of queries: one part for each resource.

use async_graphql::MergedObject;

use super::node::NodeQuery;
use super::order::OrderQuery;
use super::product::ProductQuery;
use super::sales::SalesQuery;
use super::user::UserQuery;

/// The questions that can be asked.
#[derive(MergedObject, Default)]
pub(super) struct Query(
    // One line each.
    UserQuery,
    OrderQuery,
    ProductQuery,
    SalesQuery,
    NodeQuery,
);
