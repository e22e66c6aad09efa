//! Installs pinned tools into `.stack/tools` of this checkout, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use tokio::process::Command;

use super::{is_there, said_by};
use crate::readme::root;

/// How long an installation may take.
const LIMIT: Duration = Duration::from_mins(5);

/// Tools that a package manager installs.
pub(crate) struct Tools {
    /// The folder with their pins, below `acceptance/clients`, and of what is installed.
    pub(crate) name: &'static str,
    /// The program that installs them.
    pub(crate) installer: &'static str,
    /// The file that pins them.
    pub(crate) pins: &'static str,
    /// Installs what the pins in the working folder say.
    pub(crate) install: &'static str,
    /// Files that the installer or the programs need, besides the programs.
    pub(crate) settings: &'static [&'static str],
}

/// The installed tools.
pub(crate) struct Installed {
    pub(crate) folder: PathBuf,
}

/// The folder with the pins, and the programs that use the tools.
pub(crate) fn source(tools: &Tools) -> PathBuf {
    root().join("acceptance/clients").join(tools.name)
}

/// The tools, as their pins say. Like the check of the descriptions in `.ci/run`, a machine without
/// the installer goes without, and is told so; CI must have it.
pub(crate) async fn tools(tools: &Tools) -> Result<Option<Installed>> {
    if !is_there(tools.installer) {
        let missing = format!(
            "{} is not there, so what needs the tools of {} is left out",
            tools.installer, tools.name
        );
        ensure!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("{missing}");
        return Ok(None);
    }
    let all = root().join(".stack/tools");
    let folder = all.join(format!("{}-client", tools.name));
    if is_current(tools, &folder)? {
        return Ok(Some(Installed { folder }));
    }
    fs::create_dir_all(&all)?;
    let draft = tempfile::Builder::new().prefix("client-").tempdir_in(&all)?;
    for name in [tools.pins].iter().chain(tools.settings) {
        fs::copy(source(tools).join(name), draft.path().join(name))
            .with_context(|| format!("{}: cannot copy {name}", tools.name))?;
    }
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", tools.install]).current_dir(draft.path());
    let output = finish_async(&mut shell, LIMIT).await?;
    ensure!(output.status.success(), "`{}`: {}", tools.install, said_by(&output));
    // Only whole installations have this name.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(draft.path(), &folder)?;
    Ok(Some(Installed { folder }))
}

/// Whether the tools were installed from these pins.
fn is_current(tools: &Tools, folder: &Path) -> Result<bool> {
    let pins = source(tools).join(tools.pins);
    let wanted = fs::read(&pins).with_context(|| format!("cannot read {}", pins.display()))?;
    Ok(fs::read(folder.join(tools.pins)).is_ok_and(|installed| installed == wanted))
}
