//! The saga engine: long business flows that take many steps, wait for the outside world, and undo
//! what they did when a step fails.
//!
//! A [`Definition`] lists the steps as data. Each *instance* of a saga is a stream of events in the
//! log: what it asked for, what came back, what it undid. [`instance`] decides what comes next as a
//! pure function of that stream, an input and a time. The [`Driver`] runs the decisions: it calls
//! [`Actions`] and appends. The [`Runner`] follows the log, keeps track of the instances that have
//! something to do, and shares them among processes.
//!
//! Guarantees:
//! - An inside action takes effect exactly once. Its events and the step's outcome are in one
//!   append, under the expected versions of both.
//! - An outside action is called at least once, always under the same idempotency key
//!   ([`id::of_call`]). The request is in the log before the call. A compensation keeps its key
//!   ([`id::of_compensation`]) until it has succeeded or was refused.
//! - A saga that began ends completed or compensated, or is parked with a reason until a person
//!   acts or a process has its definition again. Compensations run in reverse order, one after the
//!   other.
//! - The stream is the only truth. The work tables can be lost and are folded again from the log;
//!   two owners of one instance do no harm, because appends name the exact version.
//!
//! The library knows no particular saga, and no events but those of instances and deployments.

pub mod action;
pub mod definition;
pub mod driver;
pub mod event;
pub mod id;
pub mod instance;
mod intake;
pub mod ops;
pub mod probe;
mod reason;
pub mod runner;
pub mod sagas;
mod telemetry;
#[cfg(feature = "test-kit")]
pub mod test_kit;
pub mod work;

pub use action::{Actions, Call, Outcome, Work};
pub use definition::{Definition, InvalidDefinition, Place, Retry, Step};
pub use driver::Driver;
pub use event::SagaEvent;
pub use instance::{Instance, Signal};
pub use reason::{Reason, Undoing};
pub use runner::{Runner, RunnerSettings};
pub use sagas::{Begin, Saga, Sagas, Start};
