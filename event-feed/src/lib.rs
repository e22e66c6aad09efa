//! Delivers the log's events to other systems and processes. It has a neutral event format, a relay
//! that publishes the log to a target (JetStream is the first), and a follower that reads the log
//! live or from the store.
//!
//! It knows no business terms. A target holds a copy that may be lost at any time; only the store
//! is authoritative.

pub mod beacon;
pub mod cloud_event;
pub mod consumer;
pub mod follower;
pub mod message;
pub mod nats;
pub mod relay;

pub use follower::{Batch, FollowError, Follower, FollowerSettings, Mode};
pub use nats::{NatsError, NatsHandle};
// Part of this crate's ports.
pub use postgres_kit::{LeaseLost, Term};
