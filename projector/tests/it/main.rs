//! The projector against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod audit;
mod background;
mod boundaries;
mod columns;
mod crash;
mod epoch;
mod erasure;
mod evolution;
mod expected;
mod explain;
mod generation;
mod health;
mod memory;
mod nothing;
mod operations;
mod operators;
mod outage;
mod parked;
mod partitions;
mod pause;
mod projections;
mod rebuild;
mod rebuild_paused;
mod refused;
mod remote;
mod roles;
mod round_trip;
mod rounds;
mod runner;
mod shares;
mod sums;
mod support;
mod switch;
mod tables;
mod verify;
