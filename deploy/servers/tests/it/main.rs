//! Tests of the servers that other crates' tests use.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod database;
mod servers;
