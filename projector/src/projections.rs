//! The projections of this system. Each has a file that says what it keeps, and a folder with its
//! tables and indexes.

use std::sync::Arc;

use domain::DomainEvent;
use event_store::Registry;
use event_store::registry::InvalidRegistry;
use projection::{AnyProjection, of};

pub mod audit;
pub mod customers_at_risk;
pub mod daily_sales;
pub mod order_funnel;
pub mod orders;
pub mod product_sales;
pub mod products;
pub mod sagas;
pub mod search;
pub mod users;

/// The registry of every event version that the system ever wrote.
///
/// # Errors
/// [`InvalidRegistry`] if a past version has no upcaster.
pub fn registry() -> Result<Registry, InvalidRegistry> {
    let current = domain::history::current().chain(saga::event::shapes());
    Registry::new(current, domain::history::PAST.iter().copied())
}

/// Returns all projections.
pub fn all() -> Vec<Arc<dyn AnyProjection>> {
    vec![
        // One line each.
        of::<users::Users>(),
        of::<orders::Orders>(),
        of::<products::Products>(),
        of::<daily_sales::DailySales>(),
        of::<product_sales::ProductSales>(),
        of::<order_funnel::OrderFunnel>(),
        of::<customers_at_risk::CustomersAtRisk>(),
        of::<search::Search>(),
        of::<audit::Audit>(),
        of::<sagas::Sagas>(),
    ]
}

/// The event types of an aggregate.
pub(crate) fn types_of<E: DomainEvent>() -> Vec<&'static str> {
    E::KNOWN.iter().map(|(event_type, _)| *event_type).collect()
}
