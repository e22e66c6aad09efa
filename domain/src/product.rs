//! The product aggregate.

pub mod event;
