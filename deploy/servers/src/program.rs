//! Finds programs on PATH and in the usual folders.

use std::path::PathBuf;

/// The folders of PATH, then folders that hold programs on most systems.
pub(crate) fn program_folders() -> Vec<PathBuf> {
    let mut folders = path_folders();
    folders.extend(
        ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin", "/opt/homebrew/bin"]
            .map(PathBuf::from),
    );
    folders
}

/// Finds the first program with this name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    program_folders().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The absolute folders of PATH.
pub(crate) fn path_folders() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect())
        .unwrap_or_default()
}
