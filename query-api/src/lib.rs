//! The query side: answers questions from the read tables only. Every answer names the position up
//! to which it is complete. A caller can ask it to wait for a position.
//!
//! A new resource needs three files and a line or two in the file above each:
//! - `read/NAME.rs`: the row, its statements and its questions
//! - `view/NAME.rs`: the form that clients see
//! - `http/resource/NAME.rs`: its tag, its routes and the handlers, for all versions
//!
//! `graphql/` shows the same in one schema: a field of its query and an object.
//!
//! `live/` sends rows and then their changes, as server-sent events.
//!
//! Paging, cursors, waiting, ETags and errors are shared by all endpoints.

pub mod config;
pub mod database;
mod filter;
pub mod graphql;
pub mod http;
pub mod live;
pub mod page;
mod place;
pub mod position;
pub mod read;
pub mod ready;
pub mod replica;
pub mod schema;
pub mod scope;
pub mod view;
mod wait;
