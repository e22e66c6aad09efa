//! `reset`: deletes the stack's data. It keeps the keys, which other stacks share, and the
//! downloaded servers.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::layout::{Layout, remove_file, remove_folder};
use crate::output::answer;

/// Asks for confirmation, stops the stack, and deletes its data.
pub async fn run(layout: &Layout, yes: bool, json: bool) -> anyhow::Result<ExitCode> {
    let what = [
        layout.postgres_data(),
        layout.nats(),
        layout.rabbitmq(),
        layout.identity_cache(),
        layout.mails(),
        layout.logs(),
    ];
    if !yes && !agreed(layout)? {
        eprintln!("stack: nothing was deleted");
        return Ok(ExitCode::from(cli_kit::FAILED));
    }
    crate::down::stop(layout).await?;
    for folder in &what {
        remove_folder(folder)?;
    }
    remove_file(&layout.passwords())?;
    remove_file(&layout.sandbox())?;
    if json {
        answer(serde_json::json!({ "deleted": what }))?;
    } else {
        eprintln!("stack: all data was deleted");
    }
    Ok(ExitCode::SUCCESS)
}

fn agreed(layout: &Layout) -> anyhow::Result<bool> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "cannot ask for confirmation: use `cargo stack reset --yes`"
    );
    eprint!(
        "Delete every event and all other data of the stack in {}? [y/N] ",
        layout.state.display()
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
