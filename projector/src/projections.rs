//! The projections of this system, one line each: its file says what it keeps, and its folder holds
//! its tables and indexes.

use std::sync::Arc;

use domain::DomainEvent;
use event_store::Registry;
use event_store::registry::InvalidRegistry;
use projection::{AnyProjection, of};

pub mod daily_sales;
pub mod orders;
pub mod products;
pub mod users;

/// Every shape in which an event of the shop was ever written.
///
/// # Errors
/// [`InvalidRegistry`]: a former version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    Registry::new(domain::history::current(), domain::history::PAST.iter().copied())
}

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

/// The types of an aggregate's events.
pub(crate) fn types_of<E: DomainEvent>() -> Vec<&'static str> {
    E::KNOWN.iter().map(|(event_type, _)| *event_type).collect()
}
