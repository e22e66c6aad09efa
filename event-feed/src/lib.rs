//! Delivers the log's events to other systems and processes. It has a neutral event format, a relay
//! that publishes the log to targets (JetStream and RabbitMQ), a follower that reads the log live or
//! from the store, a durable consumer ([`consumer::Worker`]), and consumers for programs that have
//! only a broker ([`outside`]).
//!
//! It knows no business terms. A target holds a copy that may be lost at any time; only the store
//! is authoritative.

pub mod beacon;
pub mod cloud_event;
pub mod consumer;
pub mod follower;
pub mod message;
pub mod nats;
pub mod outside;
pub mod rabbitmq;
pub mod relay;

pub use follower::{Batch, FollowError, Follower, FollowerSettings, Mode};
pub use nats::{NatsError, NatsHandle};
// These are part of this crate's ports.
pub use postgres_kit::{LeaseLost, Term};

/// Compiles the example of `docs/events.md`.
#[cfg(doctest)]
#[doc = include_str!("../../docs/events.md")]
mod events {}

/// Compiles the examples of `docs/libraries.md`.
#[cfg(doctest)]
#[doc = include_str!("../../docs/libraries.md")]
mod libraries {}
