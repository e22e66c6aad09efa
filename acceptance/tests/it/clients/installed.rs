//! Installs the pinned tools of a language into `.stack/tools` of this checkout, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use tokio::process::Command;

use super::{Language, is_there, said_by};
use crate::readme::root;

/// How long an installation may take.
const LIMIT: Duration = Duration::from_mins(5);

/// The installed tools of a language.
pub(super) struct Installed {
    pub(super) folder: PathBuf,
}

/// The folder with the programs and pins of a language.
pub(super) fn source(language: &Language) -> PathBuf {
    root().join("acceptance/clients").join(language.name)
}

/// The tools of a language, as its pins say. `None`, with a notice, on a machine without the
/// installer, as in the check of the descriptions in `.ci/run`. CI must have it.
pub(super) async fn tools(language: &Language) -> Result<Option<Installed>> {
    if !is_there(language.installer) {
        let missing = format!(
            "{} is not there, so no client in {} is generated",
            language.installer, language.name
        );
        ensure!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("{missing}");
        return Ok(None);
    }
    let all = root().join(".stack/tools");
    let folder = all.join(format!("{}-client", language.name));
    if is_current(language, &folder)? {
        return Ok(Some(Installed { folder }));
    }
    fs::create_dir_all(&all)?;
    let draft = tempfile::Builder::new().prefix("client-").tempdir_in(&all)?;
    for name in [language.pins].iter().chain(language.settings) {
        fs::copy(source(language).join(name), draft.path().join(name))
            .with_context(|| format!("{}: cannot copy {name}", language.name))?;
    }
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", language.install]).current_dir(draft.path());
    let output = finish_async(&mut shell, LIMIT).await?;
    ensure!(output.status.success(), "`{}`: {}", language.install, said_by(&output));
    // Only whole installations have this name.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(draft.path(), &folder)?;
    Ok(Some(Installed { folder }))
}

/// Whether the tools were installed from these pins.
fn is_current(language: &Language, folder: &Path) -> Result<bool> {
    let pins = source(language).join(language.pins);
    let wanted = fs::read(&pins).with_context(|| format!("cannot read {}", pins.display()))?;
    Ok(fs::read(folder.join(language.pins)).is_ok_and(|installed| installed == wanted))
}
