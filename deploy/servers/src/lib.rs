//! Real servers for the local stack and for tests. It finds or downloads PostgreSQL,
//! nats-server and RabbitMQ, starts private ones that never outlive the process that started them, and gives
//! every test a separate database.
//!
//! Deployments do not use this crate; only the stack tool and the tests do.

mod certificate;
mod database;
mod error;
mod fetch;
mod find;
mod finish;
mod http;
mod launch;
mod memory;
mod nats;
mod port;
mod postgres;
mod program;
mod rabbitmq;
mod run;
mod stopped;
mod wait;
mod written;

pub use certificate::Certificate;
pub use database::TestDatabase;
pub use error::ServerError;
pub use fetch::{Pin, fetch, nats_server_pin, nextest_pin, postgres_pin};
pub use find::{
    Found, MIN_NATS, MIN_POSTGRES, Version, nats_servers, package_manager_hint,
    postgres_installations,
};
pub use finish::{end_of, finish, finish_async};
pub use http::{client_trusting, http_get, loopback_client, test_client};
pub use launch::{Account, Guard, Launch, Process};
pub use memory::{peak_memory_kib, resident_memory_kib};
pub use nats::{NatsOptions, NatsServer};
pub use port::{PortLock, free_port};
pub use postgres::{
    ClusterOptions, PostgresBinaries, PostgresCluster, PostmasterState, postmaster_data,
    postmaster_state,
};
pub use rabbitmq::{RabbitMqNode, RabbitMqPrograms, RabbitMqServer};
pub use run::{TestRun, test_run};
pub use stopped::Stopped;
pub use wait::{PATIENCE, in_time, locked, until, until_within, within};
pub use written::Written;
