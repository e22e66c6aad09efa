//! The sagas of the shop: what happens to an order by itself, across stock, payment and shipping.

mod crash;
pub mod order_fulfilment;
mod shop;

pub use crash::{CrashPoints, Crashing};
pub use order_fulfilment::OrderFulfilment;
pub use shop::Shop;

/// The part of the system that runs the sagas, as the actor of their events.
pub const PRINCIPAL: &str = "process-manager";
