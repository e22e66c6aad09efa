//! The business rules of the shop: pure functions of state and command. No clock, no I/O, no async.

pub mod history;
pub mod order;
pub mod payment;
pub mod personal;
pub mod pricing;
pub mod product;
pub mod schemas;
pub mod user;
pub mod user_orders;
pub mod value;

#[cfg(test)]
mod golden;

aggregate::events_of_all_aggregates! {
    // One line each.
    user::UserEvent,
    product::ProductEvent,
    order::OrderEvent,
    payment::PaymentEvent,
    pricing::PricingEvent,
    user_orders::UserOrdersEvent,
}

/// The interface of every aggregate.
pub use aggregate::{self, Aggregate, DomainEvent};
pub use order::Order;
pub use payment::Payment;
pub use personal::Personal;
pub use pricing::{OrderPricing, Pricing};
pub use product::Product;
pub use user::User;
pub use user_orders::UserOrders;
