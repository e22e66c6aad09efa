//! The local stack: runs the whole system on one machine with one command, and sets up tests.
//!
//! It is not part of a deployment. The processes do not know this crate; it configures and watches
//! them.

mod administrator;
pub mod bench;
pub mod build;
pub mod check;
pub mod choose;
pub mod cli;
pub mod database;
pub mod dispatch;
pub mod down;
pub mod endpoints;
pub mod identity;
pub mod import;
pub mod layout;
pub mod logs;
pub mod nats;
pub mod nextest;
pub mod operate;
pub mod output;
mod pauses;
pub mod ports;
pub mod prepare;
pub mod psql;
mod registered;
pub mod reset;
pub mod restart;
pub mod secrets;
pub mod service;
pub mod settings;
mod shown;
pub mod status;
pub mod supervisor;
pub mod testing;
pub mod token;
pub mod tree;
pub mod up;

pub use endpoints::Endpoints;
pub use layout::Layout;
