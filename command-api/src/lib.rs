//! The command API: HTTP in, events out. Use cases load aggregates, let them decide and append what
//! happened.
//!
//! No SQL on the event store stands here, and no rule of the shop: those are in `event-store` and
//! `domain`.

pub mod application;
pub mod config;
pub mod erasure;
pub mod http;
pub mod migrate;
pub mod serve;
