//! Tests of the event store on a real Postgres and in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod after_commit;
mod append_only;
mod attacks;
mod batch;
mod cancel;
mod chains;
mod command_line;
mod conflict;
mod contract;
mod cut;
mod epoch;
mod erasure;
mod erasure_races;
mod evolution;
mod histories;
mod history;
mod isolation;
mod keys;
mod personal_states;
mod plans;
mod pollers;
mod properties;
mod proxy;
mod reference;
mod schema;
mod settings;
mod silence;
mod standby;
mod states;
mod stuck;
mod support;
mod sync;
mod tails;
mod tampered;
mod verify;
