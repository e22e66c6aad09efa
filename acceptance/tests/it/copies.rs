//! Copies of the tree and of parts of it. Their separate builds start with what the checkout's
//! build has compiled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

/// The folder with cargo's fingerprints of compiled units.
const FINGERPRINTS: &str = ".fingerprint";

/// Starts a new build with what the checkout's build has compiled.
pub(crate) fn begin_with_what_is_built(checkout: &Path, build: &Path) -> Result<()> {
    if build.exists() {
        return Ok(());
    }
    let built = build.join("debug");
    for part in ["deps", "build"] {
        reuse(&checkout.join(part), &built.join(part), |from, to| fs::hard_link(from, to))?;
    }
    // Cargo changes these files in place, so they are copied and not linked.
    let copied = |from: &Path, to: &Path| fs::copy(from, to).map(|_| ());
    reuse(&checkout.join(FINGERPRINTS), &built.join(FINGERPRINTS), copied)
}

/// Writes a file unless it already has the content, so that cargo sees real changes only.
pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|now| now == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file's folder")?)?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Removes files that do not belong to a copy.
pub(crate) fn remove_others(folder: &Path, tree: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, tree, files)?;
        } else if !files.contains(path.strip_prefix(tree)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes every file look changed, so that cargo builds all crates of the tree again.
pub(crate) fn touch_all(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            touch_all(&path)?;
        } else {
            let file = fs::File::options().append(true).open(&path)?;
            file.set_modified(SystemTime::now())
                .with_context(|| format!("cannot touch {}", path.display()))?;
        }
    }
    Ok(())
}

/// Puts a folder's files into another folder with the given operation.
fn reuse(
    from: &Path,
    to: &Path,
    put: impl Fn(&Path, &Path) -> std::io::Result<()> + Copy,
) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            reuse(&entry.path(), &target, put)?;
        } else if put(&entry.path(), &target).is_err() {
            // Another test's build may just have replaced it, or the folders are on different file
            // systems.
            ensure!(
                !entry.path().exists() || fs::copy(entry.path(), &target).is_ok(),
                "cannot copy {}",
                entry.path().display()
            );
        }
    }
    Ok(())
}
