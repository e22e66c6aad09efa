//! The user aggregate.

pub mod event;
