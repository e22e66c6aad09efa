//! Tests of the engine: its rules as stories, its guarantees under random schedules in memory, and
//! the whole of it on a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod running;
mod schedules;
mod stories;
mod toy;
