//! Events on NATS: the one encoding, the relay that publishes the log, and the follower that reads
//! it live or from the store.
//!
//! Knows no business word. NATS is a copy that may be lost at any time; the store alone is the
//! truth.

pub mod beacon;
pub mod follower;
pub mod lease;
pub mod message;
pub mod nats;
pub mod relay;

pub use follower::{Batch, FollowError, Follower, FollowerSettings, Mode};
pub use lease::{Lease, LeaseTable, Term};
pub use nats::{NatsError, NatsHandle};
