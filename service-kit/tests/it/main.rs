//! Tests of the HTTP layers, the server and the process from a client's point of view.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod abuse;
mod admin;
mod allowed;
mod bodies;
mod docs;
mod end;
mod framing;
mod layers;
mod process;
mod renewal;
mod serve;
mod shed;
mod support;
mod tls;
mod unread;
mod versions;
