//! The frame of every bench: what a figure is, the table for people, the JSON for programs,
//! alternating rounds, the median.
//!
//! A bench measures its subject next to references in the same process run: same driver, prepared
//! statements, columns, constraints, indexes and server settings. Rounds of subject and reference
//! alternate, so that a slow spell of the machine meets both.

pub mod append;
pub mod condition;
pub mod encrypt;
pub mod figure;
mod fill;
mod flow;
pub mod growth;
pub mod hot;
pub mod idle;
mod lag;
mod mix;
pub mod project;
pub mod read;
pub mod rebuild;
pub mod round;
pub mod server;
mod system;
pub mod visible;

fn say(text: &str) -> std::io::Result<()> {
    cli_kit::print(format_args!("{text}\n"))
}
