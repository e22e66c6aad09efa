//! `psql`: opens the stack's database as its owner. The password is passed in the environment,
//! because any user can see arguments.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;
use secrecy::ExposeSecret;

use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::secrets::Passwords;
use crate::settings::DATABASE;

/// Replaces this process by psql.
pub fn run(layout: &Layout, args: &[String]) -> anyhow::Result<ExitCode> {
    let endpoints = Endpoints::read(layout)?;
    let port = endpoints
        .postgres
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next())
        .context("the address has no port")?;
    let binaries = crate::choose::postgres(layout, false)?;
    let own = binaries.bin().join("psql").is_file();
    let mut command = if own { binaries.command("psql") } else { Command::new("psql") };
    command.args(["-h", "127.0.0.1", "-p", port, "-U", "postgres", "-d", DATABASE]).args(args);
    command.env("PGPASSWORD", Passwords::ensure(layout)?.owner.expose_secret());
    let error = command.exec();
    Err(error).with_context(|| {
        let hint = local_servers::package_manager_hint("postgresql-client", "libpq");
        format!("psql cannot be run; install it: {hint}")
    })
}
