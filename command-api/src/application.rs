//! Use cases without HTTP.

pub mod command;
pub mod erasure_gate;
pub mod idempotency;
pub mod input;
pub mod precondition;
pub mod repository;
pub mod telemetry;
pub mod use_case;
