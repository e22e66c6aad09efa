//! How connections are made to fall silent.

use acceptance::{Launched, Part, Server};
use anyhow::{Context as _, Result};
use local_servers::Stopped;
use sqlx::{Connection as _, PgConnection};

use super::cell::Cell;

/// How the connections of a cell fall silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freeze {
    /// Nothing comes through any more, nor through new ones.
    Way,
    /// The server's backends that serve them are stopped; new connections get others.
    Backends,
}

/// Silence, until this is dropped.
#[derive(Debug)]
pub(super) struct Frozen<'a> {
    system: &'a Launched,
    of: (Part, Server),
    _stopped: Option<Stopped>,
}

impl Freeze {
    pub(super) async fn begin<'a>(self, system: &'a Launched, cell: &Cell) -> Result<Frozen<'a>> {
        let of = (cell.part, cell.server);
        let stopped = match self {
            Self::Way => {
                system.way(of.0, of.1)?.falls_silent(cell.kind);
                None
            }
            Self::Backends => Some(Stopped::stop(backends(system, cell).await?)),
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

/// The backends that serve a process.
async fn backends(system: &Launched, cell: &Cell) -> Result<Vec<i32>> {
    let role = cell.part.role();
    let mut admin = PgConnection::connect(&system.as_superuser(cell.server)).await?;
    let asked = sqlx::query_scalar(
        "SELECT pid FROM pg_stat_activity WHERE usename = $1 AND datname = current_database() AND backend_type = 'client backend'",
    );
    let pids = asked.bind(role).fetch_all(&mut admin).await.context("the backends")?;
    admin.close().await?;
    Ok(pids)
}
