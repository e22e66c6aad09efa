//! The query side: answers questions from the read tables, and from nothing else. Every answer says
//! up to which position it is complete, and can be made to wait for one.
//!
//! A new endpoint is `read/NAME.rs` (row, statements and questions), `view/NAME.rs` (what clients
//! see), `http/v1/NAME.rs` (handlers) and a line in `http.rs`; paging, cursors, waiting, ETags and
//! errors are here already.

pub mod config;
pub mod database;
pub mod http;
pub mod page;
pub mod position;
pub mod read;
pub mod ready;
pub mod schema;
pub mod view;
