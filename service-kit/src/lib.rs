//! Shared code of all processes, free of business logic: settings, telemetry, shutdown, health, the
//! HTTP server with its common layers, and the formats that the APIs share (envelope, problems,
//! tokens).
//!
//! A typical `main`:
//!
//! ```no_run
//! # use service_kit::{config::LoopbackAddr, http, process::Process};
//! # async fn main_like(listen: LoopbackAddr, admin_listen: LoopbackAddr) -> anyhow::Result<()> {
//! let process = Process::start("example-api", "info")?;
//! let router = http::layered(axum::Router::new(), &http::Allowed::default());
//! let public = vec![http::Port::public(listen, router, http::Limits::default())];
//! let ports = http::Ports { public, admin: process.admin(admin_listen) };
//! let served = process.served();
//! let work = async { anyhow::Ok(served.cancelled().await) };
//! process.run(ports, work).await?;
//! # Ok(()) }
//! ```

pub mod admin;
pub mod body;
pub mod clock;
pub mod conditional;
pub mod config;
pub mod consistency;
pub mod docs;
pub mod envelope;
pub mod extract;
pub mod health;
pub mod http;
pub mod input;
mod loopback;
pub mod openapi;
pub mod operations;
pub mod partition;
pub mod problem;
pub mod process;
pub mod pulse;
pub mod shed;
pub mod shutdown;
pub mod signing;
pub mod telemetry;

pub use envelope::{Envelope, Meta, PageInfo};
pub use problem::{FieldError, Problem};
pub use pulse::Pulse;
