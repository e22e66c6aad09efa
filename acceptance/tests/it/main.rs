//! Tests of the running system from outside, with real processes, a real Postgres and a real NATS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "tests")]

mod asyncapi;
mod bench;
mod clients;
mod command_lines;
mod connections;
mod contributing;
mod copies;
mod crash;
mod descriptions;
mod erasure;
mod event_source;
mod failover;
mod front;
mod fulfilment;
mod fulfilment_outage;
mod gauges;
mod graphql_tools;
mod import;
mod journey;
mod live;
mod local_stack;
mod only;
mod operations;
mod outage;
mod outside;
mod proxies;
mod readme;
mod settings;
mod silence;
mod tools;

/// The purchase history in the repository.
fn sample() -> anyhow::Result<acceptance::Purchases> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/stack/data/cdnow-sample.txt");
    acceptance::Purchases::read(&file)
}
