//! Tests of the engine: its rules as stories, its guarantees under random schedules in memory, and
//! the whole of it on a real Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod folding;
mod lacking;
mod model;
mod owning;
mod people;
mod running;
mod schedules;
mod stories;
mod storing;
mod toy;
mod world;
