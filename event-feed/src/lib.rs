//! Events outside the log: their one neutral form, the relay that publishes the log to a target
//! (JetStream is the first), and the follower that reads it live or from the store.
//!
//! Knows no business word. What a target has is a copy that may be lost at any time; the store
//! alone is the truth.

pub mod beacon;
pub mod cloud_event;
pub mod consumer;
pub mod follower;
pub mod lease;
pub mod message;
pub mod nats;
pub mod relay;

pub use follower::{Batch, FollowError, Follower, FollowerSettings, Mode};
pub use lease::{Lease, LeaseTable, Term};
pub use nats::{NatsError, NatsHandle};
