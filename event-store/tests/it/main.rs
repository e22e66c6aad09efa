//! The event store against a real Postgres, and in memory against the same contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod contract;
mod support;
