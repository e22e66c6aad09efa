//! The projections of this system, one line each: its file says what it keeps, and its folder holds its tables and indexes.

use std::sync::Arc;

use crate::projection::{AnyProjection, of};

pub mod daily_sales;
pub mod orders;
pub mod products;
pub mod users;

/// Every projection.
pub fn all() -> Vec<Arc<dyn AnyProjection>> {
    vec![
        // One line each.
        of::<users::Users>(),
        of::<orders::Orders>(),
        of::<products::Products>(),
        of::<daily_sales::DailySales>(),
    ]
}
