//! The order aggregate.

pub mod event;
