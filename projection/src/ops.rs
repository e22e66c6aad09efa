//! Operations on projections: show their status, verify and explain rows, rebuild, switch, and
//! handle parked events.
//!
//! An operation takes values and returns values. Command lines and HTTP handlers present them.

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
