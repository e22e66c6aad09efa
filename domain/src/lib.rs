//! The business rules of the shop: pure functions of state and command. No clock, no I/O, no async.

pub mod aggregate;
pub mod order;
pub mod personal;
pub mod product;
pub mod user;
pub mod value;

pub use aggregate::{Aggregate, DomainEvent};
pub use personal::Personal;
