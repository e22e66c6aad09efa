//! What every process does with NATS: connecting, and the registry of running processes.
//!
//! Each process registers itself by NATS's own service protocol (ADR-32): it answers `$SRV.PING`,
//! `$SRV.INFO` and `$SRV.STATS`, so any NATS client sees it. [`discover`] asks all processes at
//! once, and [`Registry`] keeps the last known list for the time while NATS is away.
//!
//! No process needs NATS to start or to be ready for the registry's sake. And nobody may trust the
//! registry: every NATS user can answer such a question, under any name and with any address. So
//! the list is for people to read. A program must not send a request or a token to an address only
//! because it was found there; which addresses it uses is a matter of its settings.

mod connection;
mod discover;
mod found;
mod register;
mod registration;
mod registry;

pub use connection::{NatsError, NatsHandle, REQUEST_TIMEOUT};
pub use discover::{DiscoverError, GATHERING, MAX_PROCESSES, discover};
pub use found::{Found, Standing, State};
pub use register::register;
pub use registration::Registration;
pub use registry::{LOOK_EVERY, Listing, Registry};
