//! Finds cargo, and the PATH to call it with.

use std::path::PathBuf;
use std::process::Command;

use crate::layout::Layout;

/// Folders that hold programs on most systems, for an empty PATH: cargo itself needs a linker.
const USUAL: [&str; 7] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/opt/homebrew/bin",
];

/// A cargo command in the checkout. It uses the cargo that runs this tool, or else the user's, or
/// else the one on PATH.
pub fn cargo(layout: &Layout) -> Command {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let own = home.map(|home| home.join("bin"));
    let installed = own.iter().map(|bin| bin.join("cargo")).find(|path| path.is_file());
    let program = std::env::var_os("CARGO")
        .map(PathBuf::from)
        .or(installed)
        .unwrap_or_else(|| "cargo".into());
    let given = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        given.into_iter().filter(|folder| !folder.as_os_str().is_empty()).collect();
    folders.extend(own);
    folders.extend(USUAL.map(PathBuf::from));
    let mut command = Command::new(program);
    command.current_dir(&layout.root);
    // If set by `cargo run`, these variables would trigger a rebuild of the crates that read them.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"]
    {
        command.env_remove(name);
    }
    if let Ok(path) = std::env::join_paths(folders) {
        command.env("PATH", path);
    }
    command
}
