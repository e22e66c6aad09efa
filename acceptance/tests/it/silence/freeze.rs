//! The ways to make connections fall silent.

use std::time::Duration;

use acceptance::{Launched, Server, Service, until};
use anyhow::{Context as _, Result, ensure};
use local_servers::Stopped;
use sqlx::{Connection as _, PgConnection};

use super::cell::Cell;

/// How long a backend may take to reach the place where it is stopped.
const CAUGHT_WITHIN: Duration = Duration::from_secs(30);

/// How the connections of a cell fall silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// Nothing comes through any more, on existing and new connections.
    Way,
    /// The server's backends of the connections are stopped. New connections get other backends.
    Backends,
    /// One backend is stopped in the middle of a transaction, with locked rows.
    Holder(Holder),
}

/// Where a backend is stopped: it holds rows and is about to write to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    /// The table that it writes to after locking the rows.
    pub(super) table: &'static str,
    /// The statement that blocks writes to that table, so that the backend is sure to wait there.
    pub(super) lock: &'static str,
    /// The query whether a backend holds the rows.
    pub(super) is_held: &'static str,
}

/// A silence, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Frozen<'a> {
    system: &'a Launched,
    of: (Service, Server),
    _stopped: Option<Stopped>,
}

impl Freeze {
    pub(super) async fn begin<'a>(self, system: &'a Launched, cell: &Cell) -> Result<Frozen<'a>> {
        let of = (cell.service, cell.server);
        let stopped = match self {
            Self::Way => {
                system.way(of.0, of.1)?.falls_silent(cell.kind);
                None
            }
            Self::Backends => Some(stop_at_rest(system, cell).await?),
            Self::Holder(holder) => Some(stop_holder(system, cell, holder).await?),
        };
        Ok(Frozen { system, of, _stopped: stopped })
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Ok(way) = self.system.way(self.of.0, self.of.1) {
            way.speaks_again();
        }
    }
}

/// Stops all backends of a process outside any writing transaction. Otherwise, nobody could get the
/// rows that they lock.
async fn stop_at_rest(system: &Launched, cell: &Cell) -> Result<Stopped> {
    let admin = PgConnection::connect(&system.as_superuser(cell.server)).await?;
    let admin = tokio::sync::Mutex::new(admin);
    until("its backends are at rest", CAUGHT_WITHIN, async || {
        let mut admin = admin.lock().await;
        let serving = "SELECT pid FROM pg_stat_activity
                       WHERE usename = $1 AND datname = current_database()
                         AND backend_type = 'client backend'";
        let asked = sqlx::query_scalar::<_, i32>(serving).bind(cell.service.role());
        let pids = asked.fetch_all(&mut *admin).await.context("the backends")?;
        let stopped = Stopped::stop(pids.iter().copied());
        let writing = "SELECT EXISTS (SELECT FROM pg_locks
                       WHERE pid = ANY($1) AND locktype = 'transactionid')";
        let is_writing: bool =
            sqlx::query_scalar(writing).bind(&pids).fetch_one(&mut *admin).await?;
        Ok((!is_writing).then_some(stopped))
    })
    .await
}

/// Stops a backend that holds rows. It waits for a table at that moment, so it holds nothing else
/// that the server needs.
async fn stop_holder(system: &Launched, cell: &Cell, holder: Holder) -> Result<Stopped> {
    let url = system.as_superuser(cell.server);
    let (mut gate, mut admin) =
        (PgConnection::connect(&url).await?, PgConnection::connect(&url).await?);
    let mut closed = gate.begin().await?;
    sqlx::query(holder.lock).execute(&mut *closed).await?;
    let admin = tokio::sync::Mutex::new(&mut admin);
    let stopped = until("a backend holds rows and waits", CAUGHT_WITHIN, async || {
        let mut admin = admin.lock().await;
        let waiting = "SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
                       WHERE relation = $1::regclass AND NOT granted AND usename = $2";
        let asked =
            sqlx::query_scalar::<_, i32>(waiting).bind(holder.table).bind(cell.service.role());
        let Some(pid) = asked.fetch_optional(&mut **admin).await? else { return Ok(None) };
        let stopped = Stopped::stop([pid]);
        // Its own limit may have ended its wait just before.
        let is_held: bool = sqlx::query_scalar(holder.is_held).fetch_one(&mut **admin).await?;
        ensure!(is_held, "the backend {pid} holds no row");
        Ok(Some(stopped))
    });
    let stopped = stopped.await?;
    closed.rollback().await?;
    Ok(stopped)
}
