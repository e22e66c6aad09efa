//! The servers as the other crates' tests use them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod database;
mod servers;
