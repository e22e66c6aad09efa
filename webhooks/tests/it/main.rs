//! Webhooks on a real Postgres, with receivers that listen on this machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod broker;
mod erasing;
mod failing;
mod history;
mod process;
mod reaching;
mod receiver;
mod replaying;
mod sending;
mod world;
