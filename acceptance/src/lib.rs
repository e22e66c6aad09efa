//! Tools to start, use, disturb and check the running system from outside.
//!
//! They use only the processes' HTTP ports, databases, broker and process ids. The tests in
//! `tests/it` use these tools; the benchmarks are in `src/bench`.

pub mod bench;
mod client;
mod figures;
mod front;
mod launched;
mod live_stream;
mod log;
mod program;
mod purchase;
mod running_stack;
mod traffic;
mod usage;
mod wait;
mod way;

pub use client::{Answer, Client};
pub use figures::check_figures;
pub use front::Front;
pub use launched::{Launched, Readiness, Server, Service};
pub use live_stream::{LiveEvent, LiveStream};
pub use log::Log;
pub use program::program;
pub use purchase::{Customer, Day, Purchases};
pub use running_stack::{Endpoints, RunningStack, enterable_folder, stack_tool};
pub use traffic::{Acknowledged, Traffic};
pub use usage::{cpu_time, family, started_at};
pub use wait::{POLL, until};
pub use way::{Kind, Way};
