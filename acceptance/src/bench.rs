//! The common parts of all benchmarks: results, tables for people, JSON for programs, alternating
//! rounds and medians.
//!
//! A benchmark measures its subject and its references in the same process, with the same driver,
//! prepared statements, columns, constraints, indexes and server settings. Rounds of subject and
//! reference alternate, so that a slow phase of the machine affects both.

pub mod append;
pub mod commands;
pub mod condition;
mod crowd;
pub mod encrypt;
pub mod figure;
mod fill;
mod flow;
pub mod growth;
pub mod hot;
pub mod idle;
mod lag;
pub mod live;
mod logs;
mod mix;
pub mod overload;
pub mod project;
pub mod queries;
pub mod read;
pub mod rebuild;
pub mod round;
pub mod sagas;
pub mod server;
mod system;
pub mod visible;
pub mod waiting;

fn say(text: &str) -> std::io::Result<()> {
    cli_kit::print(format_args!("{text}\n"))
}
