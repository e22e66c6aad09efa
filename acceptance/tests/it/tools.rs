//! Tools of other languages. Their pins are in the checkout, and they are installed into
//! `.stack/tools`, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_servers::finish_async;
use tokio::process::Command;

use crate::readme::root;

/// How long an installation may take.
const LIMIT: Duration = Duration::from_mins(5);
/// Installs the requirements in the working folder, so that `PYTHONPATH` can name it.
pub(crate) const PIP: &str = "python3 -m pip install --quiet --disable-pip-version-check \
    --only-binary=:all: --no-deps --target . --requirement requirements.txt";

/// Pinned tools.
pub(crate) struct Tools {
    /// The folder of the installed tools in `.stack/tools`.
    pub(crate) name: &'static str,
    /// The folder with their pins, from the root of the checkout.
    pub(crate) source: &'static str,
    /// The program that installs them.
    pub(crate) installer: &'static str,
    /// The file that pins them.
    pub(crate) pins: &'static str,
    /// More files that they need.
    pub(crate) settings: &'static [&'static str],
    /// Installs what the pins in the working folder say.
    pub(crate) install: &'static str,
}

impl Tools {
    /// The folder with the pins.
    pub(crate) fn source(&self) -> PathBuf {
        root().join(self.source)
    }

    /// Whether the installer is there. Without it, nothing is installed.
    pub(crate) fn are_to_be_had(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.installer).is_file())
    }

    /// The folder of the tools, or `None` on a machine without the installer, which is told what it
    /// goes without. It is like the check of the descriptions in `.ci/run`; CI must have the
    /// installer.
    pub(crate) async fn or_without(&self, what: &str) -> Result<Option<PathBuf>> {
        if self.are_to_be_had() {
            return Ok(Some(self.installed().await?));
        }
        let missing = format!("{} is not there, so {what} is left out", self.installer);
        ensure!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("{missing}");
        Ok(None)
    }

    /// The folder of the tools, which are installed unless they are there.
    pub(crate) async fn installed(&self) -> Result<PathBuf> {
        let all = root().join(".stack/tools");
        let folder = all.join(self.name);
        if self.is_current(&folder)? {
            return Ok(folder);
        }
        fs::create_dir_all(&all)?;
        let draft = tempfile::Builder::new().prefix("draft-").tempdir_in(&all)?;
        for name in [self.pins].iter().chain(self.settings) {
            fs::copy(self.source().join(name), draft.path().join(name))
                .with_context(|| format!("{}: cannot copy {name}", self.name))?;
        }
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", self.install]).current_dir(draft.path());
        let output = finish_async(&mut shell, LIMIT).await?;
        ensure!(output.status.success(), "`{}`: {}", self.install, said_by(&output));
        // Only whole installations have this name.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::rename(draft.path(), &folder)?;
        Ok(folder)
    }

    /// Whether the tools were installed from these pins.
    fn is_current(&self, folder: &Path) -> Result<bool> {
        let pins = self.source().join(self.pins);
        let wanted = fs::read(&pins).with_context(|| format!("cannot read {}", pins.display()))?;
        Ok(fs::read(folder.join(self.pins)).is_ok_and(|installed| installed == wanted))
    }
}

/// Gives a command the Python packages in a folder, and their programs.
pub(crate) fn with_packages(command: &mut Command, folder: &Path) -> Result<()> {
    command.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1");
    prefer(command, &folder.join("bin"))
}

/// Puts a folder before those that a command looks for programs in.
pub(crate) fn prefer(command: &mut Command, folder: &Path) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    command.env("PATH", std::env::join_paths(all)?);
    Ok(())
}

/// All that a command printed.
pub(crate) fn said_by(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said)).concat()
}
