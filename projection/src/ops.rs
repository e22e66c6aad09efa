//! What people do with projections: see how they are, verify and explain their rows, rebuild them,
//! and decide about parked events.
//!
//! An operation takes values and returns values. Command lines and HTTP answers show them.

pub mod account;
pub mod explain;
mod operations;
pub mod parked;
mod progress;
pub mod rebuild;
pub mod status;
pub mod switch;
pub mod verify;

pub use operations::{Operations, read_model};
pub use progress::{Progress, Silent, Work};
