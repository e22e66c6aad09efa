//! The projector against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod crash;
mod epoch;
mod erasure;
mod evolution;
mod generation;
mod outage;
mod projections;
mod roles;
mod runner;
mod support;
mod verify;
