//! What every crate does with Postgres: connections whose every call has a deadline on our side.
//!
//! `statement_timeout` and `tcp_user_timeout` are promises of the server and of the kernel. A
//! server that is silent (its backend is stopped, its host is frozen behind a live network) keeps
//! neither. So a statement goes to Postgres only through [`Pool`] or [`Connection`], which
//! - give up after a limit with [`silent`]'s error,
//! - then drop the connection, since nobody knows what state it is in,
//! - also drop it when the caller gives up in the middle of a call.
//!
//! Both implement [`sqlx::Executor`], so `query!(…).fetch_one(&pool)` needs no wrapper at the call.
//! What needs one connection for several statements (a transaction, a COPY) is passed to `run`, and
//! has one deadline as a whole.
//!
//! [`sqlstate`](mod@sqlstate) says what an error means, [`Schema`] makes a schema and refuses one
//! that a program does not know.

mod connection;
mod deadline;
mod listener;
mod pauses;
mod place;
mod pool;
mod queue;
mod row;
mod schema;
mod sql;
pub mod sqlstate;

pub use connection::Connection;
pub use deadline::{is_silent, silent, within};
pub use listener::Listener;
pub use pauses::Pauses;
pub use place::{is_address, named, place};
pub use pool::{AfterConnect, Pool, PoolSettings};
pub use row::{Column, TableRow, misfits, unread};
pub use schema::{Schema, SchemaError};
pub use sql::placeholders;
pub use sqlstate::{Meaning, has_sqlstate, is_transient, meaning, sqlstate};

/// What the macros of this crate name, so that their users need not.
#[doc(hidden)]
pub mod macros {
    pub use sqlx::postgres::{PgArguments, PgRow};
    pub use sqlx::{Error, Result};

    pub use crate::row::{argument, next};
    pub use crate::sql::{join, length, text};
}
