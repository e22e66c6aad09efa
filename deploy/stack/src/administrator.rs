//! The administrator of a local stack: somebody to log in as.

use std::path::Path;
use std::time::Duration;

use local_servers::finish_async;
use tokio::process::Command;

use crate::endpoints::Endpoints;
use crate::layout::Layout;
use crate::{operate, secrets};

/// The address of the administrator. Nobody can have a mailbox there (RFC 2606).
const EMAIL: &str = "admin@example.com";
/// The maximum time to create the administrator.
const LIMIT: Duration = Duration::from_secs(30);

/// Creates the administrator, if there is none with this address, and tells how to log in.
///
/// # Errors
/// `command-api create-admin` failed.
pub(crate) async fn ensure(layout: &Layout) -> anyhow::Result<()> {
    let file = secrets::ensure_admin_password(layout)?;
    let arguments = ["create-admin", "--email", EMAIL, "--password-file"].map(str::to_owned);
    let arguments: Vec<_> =
        arguments.into_iter().chain([file.to_string_lossy().into_owned()]).collect();
    let mut command = Command::from(operate::command(layout, "command-api", &arguments)?);
    let made = finish_async(&mut command, LIMIT).await?;
    let why = String::from_utf8_lossy(&made.stderr);
    anyhow::ensure!(made.status.success(), "the administrator was not created: {}", why.trim());
    tell(&Endpoints::read(layout)?.command_api, &file);
    Ok(())
}

fn tell(command_api: &str, file: &Path) {
    eprintln!(
        "stack: log in as {EMAIL}, with the password in {}\n\
         stack: try the API at {command_api}/docs; `cargo stack token` prints an access token",
        file.display()
    );
}
