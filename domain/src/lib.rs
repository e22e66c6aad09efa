//! The business rules of the shop: pure functions of state and command. No clock, no I/O, no async.

pub mod aggregate;
pub mod history;
pub mod order;
pub mod personal;
pub mod product;
pub mod user;
pub mod value;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod scenario;

/// The shapes in which the events of each aggregate are written today.
pub(crate) const EVENTS: &[&[history::Shape]] = &[
    // One line each.
    user::UserEvent::KNOWN,
    product::ProductEvent::KNOWN,
    order::OrderEvent::KNOWN,
];

pub use aggregate::{Aggregate, DomainEvent};
pub use order::Order;
pub use personal::Personal;
pub use product::Product;
pub use user::User;
