//! The command API: HTTP in, events out. Use cases load aggregates, let them decide and append what
//! happened.
//!
//! No SQL on the event store stands here, and no rule of the shop: those are in `event-store` and
//! `domain`.

pub mod command;
pub mod config;
pub mod erasure;
pub mod erasure_gate;
pub mod error;
pub mod http;
pub mod idempotency;
pub mod migrate;
pub mod precondition;
pub mod repository;
pub mod serve;
pub mod telemetry;
pub mod use_case;
