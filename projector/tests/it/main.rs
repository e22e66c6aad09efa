//! The projector against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod projections;
mod support;
