//! `run PROGRAM ARGS`: runs a program's maintenance command (`event-store verify`, `projector
//! rebuild`) against this stack with its owner's rights. Passwords, and the access token for
//! operations, are passed in the environment, because any user can see arguments.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;

use crate::build::Programs;
use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::secrets::KeyFiles;
use crate::token::Tokens;

/// The variables that hold the caller's access token for operations: the token itself, or the path
/// of its file.
const TOKEN_VARIABLES: [&str; 2] = ["DAYBOOK_TOKEN", "DAYBOOK_TOKEN_FILE"];

/// Replaces this process by the program.
pub fn run(layout: &Layout, program: &str, args: &[String]) -> anyhow::Result<ExitCode> {
    let mut command = command(layout, program, args)?;
    let program = command.get_program().to_string_lossy().into_owned();
    Err(command.exec()).with_context(|| format!("{program} cannot be run"))
}

/// A maintenance command with its settings.
pub(crate) fn command(layout: &Layout, program: &str, args: &[String]) -> anyhow::Result<Command> {
    let endpoints = Endpoints::read(layout)?;
    let path = Programs::in_folder(&endpoints.programs)?.path(program);
    let mut command = Command::new(&path);
    command
        .args(args)
        .env("EVENT_STORE_URL", &endpoints.postgres)
        .env("READ_MODEL_URL", &endpoints.postgres);
    // The user's own token takes precedence.
    if TOKEN_VARIABLES.iter().all(|name| std::env::var_os(name).is_none()) {
        command.env(TOKEN_VARIABLES[0], &*Tokens::of_operator()?.current()?);
    }
    let keys = KeyFiles::ensure()?;
    command
        .env("SUBJECT_KEYS_URL", &endpoints.subject_keys)
        .env("AUTH_URL", &endpoints.postgres)
        .env("MASTER_KEY_FILE", keys.master)
        .env("RESERVATION_KEY_FILE", keys.reservation);
    command.env("PROCESS_MANAGER_ADMIN_URL", &endpoints.admin.process_manager);
    command.env("WEBHOOKS_ADMIN_URL", &endpoints.admin.webhooks);
    // The other commands do their work in their own process.
    if matches!(args.first().map(String::as_str), Some("pause" | "resume" | "operations")) {
        command.env("PROJECTOR_ADMIN_URL", &endpoints.admin.projector);
    }
    Ok(command)
}
