//! Builds the programs with cargo, finds the executables, and tells builds apart.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::tree::cargo;

/// The programs of a stack.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The folder with all programs.
    pub folder: PathBuf,
    /// The build profile that `up` used, or `None` for programs built elsewhere.
    pub profile: Option<String>,
}

/// The packages and programs of a stack: the processes, and the event store's maintenance tool.
const PROGRAMS: [(&str, &str); 9] = [
    ("command-api", "command-api"),
    ("query-api", "query-api"),
    ("event-feed", "event-relay"),
    ("projector", "projector"),
    ("front", "front"),
    ("command-api", "process-manager"),
    ("webhooks", "webhooks"),
    ("sandbox", "sandbox"),
    ("event-store", "event-store"),
];

/// Makes cargo answer in JSON with coloured messages.
const ANSI: &str = "--message-format=json-diagnostic-rendered-ansi";

/// The programs that run as long as the stack does.
pub const PROCESSES: [&str; 8] = [
    "command-api",
    "query-api",
    "event-relay",
    "projector",
    "front",
    "process-manager",
    "webhooks",
    "sandbox",
];

impl Programs {
    /// Finds the programs in a folder.
    ///
    /// # Errors
    ///
    /// Names the first missing program.
    pub fn in_folder(folder: &Path) -> anyhow::Result<Programs> {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("there is no folder {}", folder.display()))?;
        let programs = Programs { folder, profile: None };
        for (_, name) in PROGRAMS {
            let path = programs.path(name);
            anyhow::ensure!(path.is_file(), "there is no program {}", path.display());
        }
        Ok(programs)
    }

    /// The path of one program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Identifies one build of a program: each build creates a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds of the last change.
    changed: (i64, i64),
}

impl Build {
    /// Identifies the current build of a program.
    pub fn of(program: &Path) -> std::io::Result<Build> {
        use std::os::unix::fs::MetadataExt;
        let file = std::fs::metadata(program)?;
        let changed = (file.mtime(), file.mtime_nsec());
        Ok(Build { device: file.dev(), inode: file.ino(), length: file.len(), changed })
    }
}

/// Builds all programs of a stack.
pub fn processes(layout: &Layout, profile: &str) -> anyhow::Result<Programs> {
    let mut arguments = Vec::new();
    // No package is named, so dependencies get the features of the whole workspace, the same as in
    // a test build.
    for (_, program) in PROGRAMS {
        arguments.extend(["--bin", program]);
    }
    let built = build(layout, profile, &arguments)?;
    for (package, program) in PROGRAMS {
        anyhow::ensure!(
            built.contains_key(program),
            "the package {package} has no program {program}"
        );
    }
    programs_of(&built, profile)
}

/// Builds one program into the folder of [`processes`].
pub fn process(layout: &Layout, profile: &str, program: &str) -> anyhow::Result<()> {
    build(layout, profile, &["--bin", program]).map(|_| ())
}

/// Builds every program of the workspace, for tests that run them.
pub fn all(layout: &Layout, profile: &str) -> anyhow::Result<Programs> {
    programs_of(&build(layout, profile, &["--workspace", "--bins"])?, profile)
}

/// Runs a build and returns the programs that it made, by name.
pub fn build(
    layout: &Layout,
    profile: &str,
    arguments: &[&str],
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    // JSON output includes the compiler's messages, so that they can be inspected.
    let format = if std::io::stderr().is_terminal() { ANSI } else { "--message-format=json" };
    let mut command = cargo(layout);
    command.args(["build", "--locked", format, "--profile", profile]).args(arguments);
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let mut child = child.with_context(|| {
        format!(
            "cannot run {}: install Rust from https://rustup.rs",
            command.get_program().display()
        )
    })?;
    let (mut built, mut hint) = (BTreeMap::new(), None);
    for line in BufReader::new(child.stdout.take().context("the build says nothing")?).lines() {
        let line = line.context("the build cannot be read")?;
        if let Some(rendered) = message(&line) {
            eprint!("{rendered}");
            hint = hint.or_else(|| sql_hint(&rendered));
        }
        built.extend(program(&line));
    }
    let status = child.wait().context("the build cannot be waited for")?;
    let hint = || hint.map_or_else(linker_hint, str::to_owned);
    anyhow::ensure!(status.success(), "the build failed ({status}){}", hint());
    Ok(built)
}

/// Extracts a compiler message from a line of cargo's output, as people read it.
fn message(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(line.get("message")?.get("rendered")?.as_str()?.to_owned())
}

/// A hint for a checked statement without a description. The compiler's message names a tool that
/// does not know how to create our tables.
fn sql_hint(message: &str) -> Option<&'static str> {
    let is_it = message.contains("cargo sqlx prepare");
    is_it.then_some("; a statement has no description in .sqlx: run `cargo stack prepare`")
}

/// Extracts a built program from a line of cargo's output.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    Some((path.file_name()?.to_str()?.to_owned(), path))
}

fn programs_of(built: &BTreeMap<String, PathBuf>, profile: &str) -> anyhow::Result<Programs> {
    let folder = built
        .values()
        .next()
        .and_then(|path| path.parent())
        .context("the build made no program")?;
    Ok(Programs { folder: folder.to_owned(), profile: Some(profile.to_owned()) })
}

/// A hint for a missing C compiler, the usual cause of failure on a bare machine.
fn linker_hint() -> String {
    let folders = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    let found = folders.iter().chain(&usual).any(|folder| {
        ["cc", "gcc", "clang"].iter().any(|name| Path::new(folder).join(name).is_file())
    });
    if found {
        return String::new();
    }
    let hint = local_servers::package_manager_hint("gcc libc6-dev", "gcc");
    format!("; there is no C compiler: {hint}")
}

#[cfg(test)]
mod tests {
    use super::{message, sql_hint};

    #[test]
    fn a_statement_without_a_description_is_answered_with_the_tool_that_makes_it() {
        let line = concat!(
            r#"{"reason":"compiler-message","message":{"level":"error","rendered":"#,
            r#""error: `SQLX_OFFLINE=true` but there is no cached data for this query, "#,
            r#"run `cargo sqlx prepare` to update the query cache or unset `SQLX_OFFLINE`"}}"#
        );
        let hint = message(line).as_deref().and_then(sql_hint);
        assert!(hint.is_some_and(|hint| hint.contains("`cargo stack prepare`")), "{hint:?}");
        assert_eq!(sql_hint("error: expected `;`"), None);
        assert_eq!(message(r#"{"reason":"build-finished","success":false}"#), None);
    }
}
