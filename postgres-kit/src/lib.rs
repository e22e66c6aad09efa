//! Shared Postgres code: every connection has deadlines on the client's side.
//!
//! `statement_timeout` and `tcp_user_timeout` depend on the server and the kernel. A silent server
//! (a stopped backend, a frozen host behind a live network) enforces neither. All statements
//! therefore go through [`Pool`] or [`Connection`], which
//! - give up after a limit with [`silent`]'s error,
//! - then drop the connection, because its state is unknown,
//! - and also drop it when the caller gives up in the middle of a call.
//!
//! Both implement [`sqlx::Executor`], so `query!(…).fetch_one(&pool)` needs no wrapper. Work that
//! needs one connection for several statements (a transaction, a COPY) goes through `run`. It has
//! one deadline in total.
//!
//! [`sqlstate`](mod@sqlstate) classifies errors. [`Schema`] migrates a schema and refuses one that
//! the program does not know. A [`Lease`] is a name that one owner at a time may hold, and a
//! [`Keeper`] renews it in the background.

mod connection;
mod deadline;
mod lease;
mod limits;
mod listener;
mod pauses;
mod place;
mod pool;
mod queue;
mod row;
mod schema;
mod session;
mod sql;
pub mod sqlstate;
mod warm;

pub use connection::Connection;
pub use deadline::{is_silent, silent, within};
pub use lease::{Keeper, Lease, LeaseLost, LeaseTable, Term};
pub use limits::PoolLimits;
pub use listener::Listener;
pub use pauses::Pauses;
pub use place::{is_address, named, place};
pub use pool::{AfterConnect, Pool, PoolSettings};
pub use row::{Column, TableRow, misfits, unread};
pub use schema::{Schema, SchemaError};
pub use session::ended_when_lost;
pub use sql::placeholders;
pub use sqlstate::{Meaning, has_sqlstate, is_transient, meaning, sqlstate};

/// What this crate's macros refer to, so that their users need no imports.
#[doc(hidden)]
pub mod macros {
    pub use sqlx::postgres::{PgArguments, PgRow};
    pub use sqlx::{Error, Result};

    pub use crate::row::{argument, next};
    pub use crate::sql::{join, length, text};
}
