//! Finds the programs under test: in the folder that `cargo stack test` names, or else next to the
//! test program, where cargo puts its builds.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// Returns the path of one of our programs.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(
        path.is_file(),
        "{} is not built: run `cargo stack test`, or `cargo build --workspace --bins`",
        path.display()
    );
    Ok(path)
}

/// Returns the folder of our programs.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("DAYBOOK_TEST_PROGRAMS") {
        return Ok(folder.into());
    }
    let this = std::env::current_exe().context("the test program's own path")?;
    // target/<profile>/deps/it-<hash> for a test, target/<profile>/bench-visible for a benchmark.
    let folder = this
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("a folder of programs")?;
    Ok(folder.to_owned())
}
