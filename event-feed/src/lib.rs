//! Delivers the log's events to other systems and processes. It has a neutral event format, a relay
//! that publishes the log to a target (JetStream is the first), a follower that reads the log live
//! or from the store, and a durable consumer ([`consumer::Worker`]).
//!
//! It knows no business terms. A target holds a copy that may be lost at any time; only the store
//! is authoritative.

pub mod beacon;
pub mod cloud_event;
pub mod consumer;
pub mod follower;
pub mod message;
pub mod relay;

pub use follower::{Batch, FollowError, Follower, FollowerSettings, Mode};
// These are part of this crate's ports.
pub use nats_kit::{NatsError, NatsHandle};
pub use postgres_kit::{LeaseLost, Term};

/// Compiles the examples of `docs/libraries.md`.
#[cfg(doctest)]
#[doc = include_str!("../../docs/libraries.md")]
mod libraries {}
