//! Tests the deadlines of `postgres-kit` against real backends that are stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests")]

mod connection;
mod limits;
mod listener;
mod pool;
mod session;
mod support;
