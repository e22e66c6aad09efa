//! The sandbox: a payment provider and a shipper to develop and test against. It moves neither
//! money nor goods.
//!
//! Its payments are shaped like Stripe's: PaymentIntents that are captured by hand, refunds,
//! idempotency keys, signed events. Its shipments are its own ([`shipments`]). It misbehaves on
//! request ([`Faults`]), and counts what took effect by key and by order (`/_counts`).
//!
//! Its state is a file to which every change is appended before it is answered, so that kill -9 of
//! anything loses nothing. It survives no crash of the machine: it does not wait for the disk.

mod fault;
mod form;
mod simulation;

pub use fault::{Fault, Faults, InvalidFaults, Next};
pub use simulation::api::{Sandbox, Settings};
pub use simulation::hooks::{HookSettings, NoClient, sign};
pub use simulation::journal::JournalError;
pub use simulation::shipments;
pub use simulation::state::{Count, Counts, OrderCount};
