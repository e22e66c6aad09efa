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

aggregate::events_of_all_aggregates! {
    // One line each.
    user::UserEvent,
    product::ProductEvent,
    order::OrderEvent,
}

pub use aggregate::{Aggregate, DomainEvent};
pub use order::Order;
pub use personal::Personal;
pub use product::Product;
pub use user::User;
