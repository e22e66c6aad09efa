//! Keys and passwords. The keys (reservation, token, cursor, master, access tokens) are created
//! once per user, outside the checkout. All copies of the tree share them, so one copy can read
//! another's data, and deleting `.stack` loses no key. The passwords belong to one cluster and are
//! stored next to it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::layout::{Layout, write_private};

const KEY_BYTES: usize = 32;
const PASSWORD_LENGTH: usize = 32;

/// The paths of the key files.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    /// The key that hashes unique values.
    pub reservation: PathBuf,
    /// The key that signs consistency tokens.
    pub token: PathBuf,
    /// The key that signs cursors.
    pub cursor: PathBuf,
    /// The master key that encrypts the keys of personal data.
    pub master: PathBuf,
    /// The keys that sign access tokens.
    pub access_tokens: PathBuf,
}

impl KeyFiles {
    /// Finds this user's keys, or creates them.
    pub fn ensure() -> anyhow::Result<KeyFiles> {
        Self::ensure_in(&key_folder()?)
    }

    fn ensure_in(folder: &Path) -> anyhow::Result<KeyFiles> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot create {}", folder.display()))?;
        let key = |name: &str| {
            let path = folder.join(name);
            ensure_key(&path).with_context(|| format!("cannot make the key {}", path.display()))?;
            anyhow::Ok(path)
        };
        Ok(KeyFiles {
            reservation: key("reservation.key")?,
            token: key("token.key")?,
            cursor: key("cursor.key")?,
            master: key("master.key")?,
            access_tokens: key("access-token.key")?,
        })
    }
}

/// `$XDG_CONFIG_HOME/daybook`, or else `~/.config/daybook`.
fn key_folder() -> anyhow::Result<PathBuf> {
    let config =
        std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| {
        std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".config"))
    });
    Ok(config.context("no home folder for the keys: set HOME or XDG_CONFIG_HOME")?.join("daybook"))
}

/// Creates a key unless it exists. Concurrent calls create one key: only one of them can link its
/// draft to the name.
fn ensure_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)?;
    let mut bytes = [0_u8; KEY_BYTES];
    rand::rng().fill(&mut bytes);
    writeln!(file, "{}", base64(&bytes))?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A password for each user of PostgreSQL and NATS.
#[derive(Debug)]
pub struct Passwords {
    /// The password of PostgreSQL's superuser and NATS's operator.
    pub owner: SecretString,
    /// The command API's password.
    pub command_api: SecretString,
    /// The relay's password.
    pub event_relay: SecretString,
    /// The projector's password.
    pub projector: SecretString,
    /// The query API's password.
    pub query_api: SecretString,
    /// The process manager's password.
    pub process_manager: SecretString,
    /// The front's password.
    pub front: SecretString,
    /// The sandbox's password.
    pub sandbox: SecretString,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    owner: String,
    command_api: String,
    event_relay: String,
    projector: String,
    query_api: String,
    /// A stack of an earlier version has none.
    #[serde(default = "random")]
    process_manager: String,
    #[serde(default = "random")]
    front: String,
    #[serde(default = "random")]
    sandbox: String,
}

/// The passwords that a stack of an earlier version may not have.
const LATER: [&str; 3] = ["\"process_manager\"", "\"front\"", "\"sandbox\""];

impl Passwords {
    /// Finds this stack's passwords, or creates them.
    pub fn ensure(layout: &Layout) -> anyhow::Result<Passwords> {
        let path = layout.passwords();
        if !path.exists() {
            let stored = Stored {
                owner: random(),
                command_api: random(),
                event_relay: random(),
                projector: random(),
                query_api: random(),
                process_manager: random(),
                front: random(),
                sandbox: random(),
            };
            write_private(&path, &serde_json::to_string_pretty(&stored)?)?;
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let stored: Stored = serde_json::from_str(&text).with_context(|| {
            format!("{} cannot be read: `cargo stack reset` creates a new one", path.display())
        })?;
        if !LATER.iter().all(|name| text.contains(name)) {
            write_private(&path, &serde_json::to_string_pretty(&stored)?)?;
        }
        Ok(Passwords {
            owner: stored.owner.into(),
            command_api: stored.command_api.into(),
            event_relay: stored.event_relay.into(),
            projector: stored.projector.into(),
            query_api: stored.query_api.into(),
            process_manager: stored.process_manager.into(),
            front: stored.front.into(),
            sandbox: stored.sandbox.into(),
        })
    }
}

/// Finds the file with the administrator's password, or creates it.
pub fn ensure_admin_password(layout: &Layout) -> anyhow::Result<PathBuf> {
    let path = layout.admin_password();
    if !path.exists() {
        write_private(&path, &random())?;
    }
    Ok(path)
}

/// A random password of letters and digits, which needs no quoting in an address.
fn random() -> String {
    rand::rng()
        .sample_iter(rand::distr::Alphanumeric)
        .take(PASSWORD_LENGTH)
        .map(char::from)
        .collect()
}

/// A loopback address with user and password.
pub fn address(scheme: &str, user: &str, password: &SecretString, port: u16, path: &str) -> String {
    format!("{scheme}://{user}:{}@127.0.0.1:{port}{path}", password.expose_secret())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::KeyFiles;

    #[test]
    fn keys_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let first = KeyFiles::ensure_in(folder.path()).unwrap();
        let text = std::fs::read_to_string(&first.reservation).unwrap();
        assert_eq!(text.trim().len(), 44, "32 bytes in base64");
        let again = KeyFiles::ensure_in(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&again.reservation).unwrap(), text);
        assert_ne!(std::fs::read_to_string(&again.token).unwrap(), text);
        let mode = std::fs::metadata(&first.reservation).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 5, "no draft is left");
    }
}
