//! The queries. The command API answers none about the shop: the query API does.

use async_graphql::Object;

/// The root of queries.
pub(super) struct Query;

/// The questions that the command API answers.
#[Object]
impl Query {
    /// The version of the program.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}
