//! Copies of what others publish, in a private folder. A process starts from them while the others
//! are away. Anybody who can write there decides which tokens count.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The mode of the folder.
const PRIVATE_FOLDER: u32 = 0o700;
/// The mode of a copy.
const PRIVATE_FILE: u32 = 0o600;

/// Writes the copy with this name in one step, so that no reader finds half of it.
///
/// # Errors
/// The folder cannot be made, or the copy cannot be written.
pub fn write(folder: &Path, name: &str, published: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(folder)?;
    let draft = folder.join(format!("{name}.{}", std::process::id()));
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(PRIVATE_FILE)
        .open(&draft)?;
    file.write_all(published)?;
    file.sync_all()?;
    std::fs::rename(&draft, folder.join(name))
}
