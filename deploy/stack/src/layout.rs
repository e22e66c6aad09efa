//! Where the stack keeps what: `.stack` in the checkout. Only its owner reads it: logs and
//! addresses tell more than others may know.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use local_servers::Account;
use sha2::{Digest, Sha256};

/// A folder that only its owner sees into.
const PRIVATE_FOLDER: u32 = 0o700;
/// A folder that nobody else can list, but the account of a server may pass through to what it
/// owns.
const PASSABLE_FOLDER: u32 = 0o711;
/// A file that only its owner reads.
const PRIVATE_FILE: u32 = 0o600;
/// What is compared of a mode.
const PERMISSIONS: u32 = 0o777;

/// The folders of one stack.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The checkout.
    pub root: PathBuf,
    /// The stack's own folder.
    pub state: PathBuf,
    /// Where the servers and their data lie: the stack's folder, or one next to the system's
    /// temporary files when the account that PostgreSQL runs as cannot enter the checkout (root's
    /// home).
    pub servers: PathBuf,
}

impl Layout {
    /// Finds the checkout and makes the stack's folder.
    pub fn find(state: Option<PathBuf>) -> anyhow::Result<Layout> {
        let root = checkout()?;
        let given = state.is_some();
        let state = state.unwrap_or_else(|| root.join(".stack"));
        // The mode of a folder that was named and exists is its owner's business; what is put into
        // it is private by itself.
        if !given || !state.exists() {
            make_folder(&state, state_mode())?;
        }
        let state =
            state.canonicalize().with_context(|| format!("cannot find {}", state.display()))?;
        let servers = if Account::unprivileged().can_enter(&state) {
            state.clone()
        } else {
            outside(&state)?
        };
        Ok(Layout { root, state, servers })
    }

    /// What tells this stack's servers from another's.
    pub fn name(&self) -> String {
        name_of(&self.state)
    }

    /// Tells programs where everything is.
    pub fn endpoints(&self) -> PathBuf {
        self.state.join("endpoints.json")
    }

    /// What runs, with process ids: how `down` and the next `up` find what a killed `up` left.
    pub fn running(&self) -> PathBuf {
        self.state.join("running.json")
    }

    /// A file for each service that was told to rest.
    pub fn resting(&self) -> PathBuf {
        self.state.join("resting")
    }

    /// The roles' passwords.
    pub fn passwords(&self) -> PathBuf {
        self.state.join("passwords.json")
    }

    /// The cluster.
    pub fn postgres_data(&self) -> PathBuf {
        self.servers.join("postgres")
    }

    /// NATS's folder.
    pub fn nats(&self) -> PathBuf {
        self.servers.join("nats")
    }

    /// Where fetched servers are unpacked.
    pub fn fetched(&self) -> PathBuf {
        self.servers.join("bin")
    }

    /// The folder of all logs.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// A process's log.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Takes the stack for ourselves; `None` when somebody has it. The lock goes with its holder,
    /// however that ends.
    pub fn lock(&self) -> anyhow::Result<Option<File>> {
        let path = self.state.join("lock");
        let file = open_private(
            File::options().create(true).truncate(false).read(true).write(true),
            &path,
        )?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }
}

/// Writes a file that only its owner reads, all of it or nothing.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let draft = path.with_file_name(name);
    let written = (|| {
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(PRIVATE_FILE)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&draft, path)
    })();
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Opens a file that only its owner reads from now on, also one that was made with another mode.
pub fn open_private(options: &mut OpenOptions, path: &Path) -> anyhow::Result<File> {
    let opened = options.mode(PRIVATE_FILE).open(path).and_then(|file| {
        if file.metadata()?.mode() & PERMISSIONS != PRIVATE_FILE {
            file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
        }
        Ok(file)
    });
    opened.with_context(|| format!("cannot open {}", path.display()))
}

/// Makes sure that a folder is there which only its owner sees into.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    make_folder(path, PRIVATE_FOLDER)
}

fn make_folder(path: &Path, mode: u32) -> anyhow::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path).and_then(|()| {
        if std::fs::metadata(path)?.mode() & PERMISSIONS != mode {
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        Ok(())
    });
    made.with_context(|| format!("cannot make {} private", path.display()))
}

/// The mode of the stack's own folder: as root, PostgreSQL runs under another account, whose
/// cluster lies in it.
fn state_mode() -> u32 {
    if Account::unprivileged() == Account::Own { PRIVATE_FOLDER } else { PASSABLE_FOLDER }
}

/// Deletes a file that may be absent.
pub fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes a folder that may be absent.
pub fn remove_folder(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The checkout that we are in, so that a copy of the tree works on itself; else the one that this
/// tool was built from.
fn checkout() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    let is_checkout = |folder: &&Path| folder.join("deploy/stack/Cargo.toml").is_file();
    if let Some(found) = here.ancestors().find(is_checkout) {
        return Ok(found.to_owned());
    }
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(is_checkout);
    built_from.map(Path::to_owned).context("this is no checkout of the project: change to one")
}

/// A folder of ours that the servers' account can pass through, the same for the same stack.
fn outside(state: &Path) -> anyhow::Result<PathBuf> {
    let folder = Path::new("/var/tmp").join(name_of(state));
    make_folder(&folder, PASSABLE_FOLDER)?;
    let owner = std::fs::symlink_metadata(&folder)?.uid();
    anyhow::ensure!(
        owner == nix::unistd::geteuid().as_raw(),
        "{} belongs to somebody else (user {owner})",
        folder.display()
    );
    Ok(folder)
}

/// A name that no other stack of this machine has.
fn name_of(state: &Path) -> String {
    let digest = Sha256::digest(state.as_os_str().as_encoded_bytes());
    format!("daybook-{}", hex::encode(&digest[..6]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_was_open_to_others_is_private_once_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (old, file) = (folder.path().join("old"), folder.path().join("old/file"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(&file, "").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & PERMISSIONS;
        let open = |path: &Path| std::fs::set_permissions(path, Permissions::from_mode(0o755));
        for path in [&old, &file] {
            open(path).unwrap();
        }
        private_folder(&old).unwrap();
        drop(open_private(File::options().write(true), &file).unwrap());
        assert_eq!((mode(&old), mode(&file)), (PRIVATE_FOLDER, PRIVATE_FILE));
        open(&file).unwrap();
        write_private(&file, "new").unwrap();
        assert_eq!(mode(&file), PRIVATE_FILE);
    }
}
