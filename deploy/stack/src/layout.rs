//! The files of the stack: `.stack` in the checkout. Only its owner can read them, because logs and
//! addresses contain private data.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use local_servers::Account;
use sha2::{Digest, Sha256};

/// The mode of a folder that only its owner can access.
const PRIVATE_FOLDER: u32 = 0o700;
/// The mode of a folder that others cannot list, but a server's account can traverse to its own
/// files.
const PASSABLE_FOLDER: u32 = 0o711;
/// The mode of a file that only its owner can access.
const PRIVATE_FILE: u32 = 0o600;
/// The bits of a mode that are compared.
const PERMISSIONS: u32 = 0o777;

/// The folders of one stack.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The checkout.
    pub root: PathBuf,
    /// The stack's folder.
    pub state: PathBuf,
    /// The folder of the servers and their data. It is the stack's folder, or one in `/var/tmp` if
    /// PostgreSQL's account cannot enter the checkout (in root's home).
    pub servers: PathBuf,
}

impl Layout {
    /// Finds the checkout and creates the stack's folder.
    pub fn find(state: Option<PathBuf>) -> anyhow::Result<Layout> {
        let root = checkout()?;
        let given = state.is_some();
        let state = state.unwrap_or_else(|| root.join(".stack"));
        // An existing folder that the user named keeps its mode. The files in it are private by
        // themselves.
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

    /// A name that distinguishes this stack's servers from another stack's.
    pub fn name(&self) -> String {
        name_of(&self.state)
    }

    /// The file with the addresses of everything.
    pub fn endpoints(&self) -> PathBuf {
        self.state.join("endpoints.json")
    }

    /// The file with the running processes. `down` and the next `up` use it to find what a killed
    /// `up` left behind.
    pub fn running(&self) -> PathBuf {
        self.state.join("running.json")
    }

    /// The folder with one file per stopped service.
    pub fn resting(&self) -> PathBuf {
        self.state.join("resting")
    }

    /// The file with the passwords of the roles.
    pub fn passwords(&self) -> PathBuf {
        self.state.join("passwords.json")
    }

    /// The file with the password of the administrator.
    pub fn admin_password(&self) -> PathBuf {
        self.state.join("admin-password")
    }

    /// The folder of the query API's copy of the public keys of access tokens.
    pub fn identity_cache(&self) -> PathBuf {
        self.state.join("identity")
    }

    /// The folder of the mails that the command API sends. They hold secrets.
    pub fn mails(&self) -> PathBuf {
        self.state.join("mails")
    }

    /// The file of the payments and shipments of the sandbox.
    pub fn sandbox(&self) -> PathBuf {
        self.state.join("sandbox.json")
    }

    /// The data folder of the PostgreSQL cluster.
    pub fn postgres_data(&self) -> PathBuf {
        self.servers.join("postgres")
    }

    /// The folder of NATS.
    pub fn nats(&self) -> PathBuf {
        self.servers.join("nats")
    }

    /// The folder of RabbitMQ.
    pub fn rabbitmq(&self) -> PathBuf {
        self.servers.join("rabbitmq")
    }

    /// The folder of downloaded servers.
    pub fn fetched(&self) -> PathBuf {
        self.servers.join("bin")
    }

    /// The folder of all logs.
    pub fn logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The log file of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Takes the stack's lock. Returns `None` if another process holds it. The lock ends with its
    /// holder, however that ends.
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

/// Writes a private file atomically.
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

/// Opens a file and makes it private, even if it was created with another mode.
pub fn open_private(options: &mut OpenOptions, path: &Path) -> anyhow::Result<File> {
    let opened = options.mode(PRIVATE_FILE).open(path).and_then(|file| {
        if file.metadata()?.mode() & PERMISSIONS != PRIVATE_FILE {
            file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
        }
        Ok(file)
    });
    opened.with_context(|| format!("cannot open {}", path.display()))
}

/// Creates a folder that only its owner can access, or restricts an existing one.
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

/// The mode of the stack's folder. As root, PostgreSQL runs under another account and has its
/// cluster in this folder.
fn state_mode() -> u32 {
    if Account::unprivileged() == Account::Own { PRIVATE_FOLDER } else { PASSABLE_FOLDER }
}

/// Deletes a file if it exists.
pub fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Deletes a folder if it exists.
pub fn remove_folder(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot delete {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Finds the checkout around the current folder, so that a copy of the tree works on itself.
/// Otherwise, it is the checkout that this tool was built from.
fn checkout() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("the current folder cannot be read")?;
    let is_checkout = |folder: &&Path| folder.join("deploy/stack/Cargo.toml").is_file();
    if let Some(found) = here.ancestors().find(is_checkout) {
        return Ok(found.to_owned());
    }
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(is_checkout);
    built_from.map(Path::to_owned).context("this is not a checkout of the project: change to one")
}

/// A folder outside the checkout that the servers' account can traverse; the same for the same
/// stack.
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

/// A name that no other stack on this machine has.
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
