//! The layers and the server, from a client's side.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod abuse;
mod admin;
mod bodies;
mod framing;
mod layers;
mod serve;
mod shed;
mod support;
