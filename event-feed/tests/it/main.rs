//! Tests of the feed with a real Postgres and a real nats-server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod consumer;
mod cursor;
mod durable;
mod follower;
mod history;
mod lease;
mod memory;
mod model;
mod recorder;
mod relay;
mod relay_faults;
mod silence;
mod support;
mod tape;
