//! An append-only event log in Postgres with optimistic concurrency. It knows nothing of the
//! business domain.

#![doc = include_str!("guide.md")]

pub mod append;
mod as_of;
mod encrypting_store;
pub mod encryption;
pub mod erasure;
pub mod error;
pub mod event;
pub mod memory;
pub mod pages;
pub mod postgres;
pub mod pulse;
pub mod query;
pub mod registry;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod stream;
pub mod subject;
pub mod telemetry;
#[cfg(feature = "test-kit")]
pub mod test_kit;
pub mod upcasting;

pub use append::{
    Append, AppendCondition, AppendOutcome, Appended, Idempotency, Refusal, ReservationChange,
    ReservationKey, ReservedValue, StreamAppend,
};
pub use as_of::AsOf;
pub use encrypting_store::EncryptingStore;
pub use encryption::Vault;
pub use error::{InvalidName, KeyError, StoreError};
pub use event::{
    Epoch, EventRef, EventType, Head, Metadata, NewEvent, Position, RecordedEvent, Tag,
};
pub use memory::MemoryStore;
pub use postgres::{PostgresOptions, PostgresStore};
pub use pulse::{Pulse, Task};
pub use query::{EventQuery, Filter, QueryItem};
pub use registry::{Registry, Unreadable, WrittenType};
pub use snapshot::{Snapshot, SnapshotStore};
pub use state::{CacheLimits, Current, SnapshotPolicy, StateError, StateLoader, StreamState};
pub use store::EventStore;
pub use stream::{ExpectedVersion, StreamName, Version};
pub use upcasting::{UpcastingError, UpcastingLog};
