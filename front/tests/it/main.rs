//! Tests of the front between real connections: clients on one side, doubles of the APIs on the
//! other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod documents;
mod failures;
mod graphql;
mod relay;
mod sockets;
mod streams;
mod support;
mod tls;
