//! Copies of what others publish, in a private folder. A process starts from them while the others
//! are away. Anybody who can write there decides which tokens count. So a process does not start
//! with a folder that everybody on the machine can write to, or that belongs to another user. In a
//! folder such as `/tmp`, another user could make it first, or a link to it. Anybody who can write
//! to a folder above it can put another one in its place.

use std::fs::Metadata;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// The copy of the command API's public keys.
pub(crate) const KEYS: &str = "jwks.json";
/// The copy of the list of what is revoked.
pub(crate) const REVOCATIONS: &str = "revocations.json";
/// The copy of an outside issuer's public keys.
pub(crate) const OUTSIDE_KEYS: &str = "outside-jwks.json";

/// The setting of the folder.
const SETTING: &str = "IDENTITY_CACHE";
/// The mode of the folder.
const PRIVATE_FOLDER: u32 = 0o700;
/// The mode of a copy.
const PRIVATE_FILE: u32 = 0o600;
/// The permission of everybody on the machine to write.
const OTHERS_WRITE: u32 = 0o002;
/// What keeps others from renaming and deleting in a folder that they can write to, such as `/tmp`.
const STICKY: u32 = 0o1000;
/// The permission of the group to write.
const GROUP_WRITES: u32 = 0o020;
/// The user who can change every file anyway.
const ROOT: u32 = 0;

/// Somebody else decides what is in the folder of the copies, or in a copy. The text names the
/// setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exposed {
    /// Everybody on the machine can write to it.
    #[error(
        "{SETTING}: every user of this machine can write to {path}, and so decide which access \
         tokens count: take that permission away (chmod o-w), or name a folder that is not there \
         yet",
        path = .0.display()
    )]
    ToAll(PathBuf),
    /// It belongs to another user.
    #[error(
        "{SETTING}: {path} belongs to another user (number {1}), who can so decide which access \
         tokens count: give it to the user of this process (chown), or name a folder that is not \
         there yet",
        path = .0.display()
    )]
    ToItsOwner(PathBuf, u32),
}

/// Checks who can change the copies in a folder. It warns if a group can. A folder that is not
/// there yet is in order: it is made for this user alone.
///
/// # Errors
/// [`Exposed`].
pub fn check(folder: &Path) -> Result<(), Exposed> {
    check_for(geteuid().as_raw(), folder)
}

/// Checks a folder for a process of this user.
fn check_for(user: u32, folder: &Path) -> Result<(), Exposed> {
    let copies = [KEYS, REVOCATIONS, OUTSIDE_KEYS].map(|name| folder.join(name));
    for path in std::iter::once(folder.to_owned()).chain(copies) {
        let Some(found) = look_at(&path, std::fs::metadata) else { continue };
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(Exposed::ToAll(path));
        }
        check_owner(user, &path, &found)?;
        check_link(user, &path)?;
        if found.mode() & GROUP_WRITES != 0 {
            tracing::warn!(path = %path.display(), "{SETTING}: a group can write to it, and so \
                decide which access tokens count");
        }
    }
    check_above(user, folder)
}

/// Checks the folders above, and the links on the way. The first one that is there is where the
/// folder will be made. It only warns of those of other users: the checkout of a developer may
/// belong to somebody else than the user of a container.
fn check_above(user: u32, folder: &Path) -> Result<(), Exposed> {
    let Ok(named) = std::path::absolute(folder) else { return Ok(()) };
    for path in named.ancestors().skip(1) {
        check_link(user, path)?;
    }
    let real = named.ancestors().skip(1).find_map(|path| path.canonicalize().ok());
    for above in real.as_deref().into_iter().flat_map(Path::ancestors) {
        let Some(found) = look_at(above, std::fs::metadata) else { continue };
        if found.mode() & OTHERS_WRITE != 0 && found.mode() & STICKY == 0 {
            return Err(Exposed::ToAll(above.to_owned()));
        }
        if let Err(exposed) = check_owner(user, above, &found) {
            tracing::warn!(%exposed, "a folder above belongs to another user");
        }
    }
    Ok(())
}

/// Checks the owner of a link, who can lead it elsewhere.
fn check_link(user: u32, path: &Path) -> Result<(), Exposed> {
    match look_at(path, std::fs::symlink_metadata) {
        Some(found) if found.is_symlink() => check_owner(user, path, &found),
        _ => Ok(()),
    }
}

fn check_owner(user: u32, path: &Path, found: &Metadata) -> Result<(), Exposed> {
    let owner = found.uid();
    if owner == user || owner == ROOT {
        return Ok(());
    }
    Err(Exposed::ToItsOwner(path.to_owned(), owner))
}

/// What is at a path. `None` if nothing is, or if that cannot be found out.
fn look_at(path: &Path, look: impl Fn(PathBuf) -> std::io::Result<Metadata>) -> Option<Metadata> {
    match look(path.to_owned()) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            let path = path.display();
            tracing::warn!(%path, %error, "{SETTING}: its permissions cannot be read");
            None
        }
    }
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use local_servers::Written;
    use tempfile::TempDir;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// What is said of a folder: the refusal, and the log.
    fn said_of(folder: &Path) -> (Option<String>, String) {
        let log = Written::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let checked = tracing::subscriber::with_default(subscriber, || check(folder));
        (checked.err().map(|refused| refused.to_string()), log.text())
    }

    #[test]
    fn a_folder_that_everybody_can_write_to_is_refused_and_of_a_group_it_is_warned() {
        let cache = TempDir::new().unwrap();
        for mode in [0o777, 0o1777, 0o702] {
            set_mode(cache.path(), mode);
            let refused = said_of(cache.path()).0.unwrap();
            let names = [SETTING, &cache.path().display().to_string(), "chmod o-w"];
            assert!(names.iter().all(|name| refused.contains(name)), "{mode:o}: {refused}");
        }
        set_mode(cache.path(), 0o770);
        let (refused, log) = said_of(cache.path());
        assert_eq!(refused, None);
        assert!(log.contains("WARN") && log.contains("IDENTITY_CACHE: a group can write"), "{log}");
        for mode in [0o700, 0o755] {
            set_mode(cache.path(), mode);
            assert_eq!(said_of(cache.path()), (None, String::new()), "{mode:o}");
        }
    }

    #[test]
    fn a_copy_that_everybody_can_write_to_is_refused_too() {
        let cache = TempDir::new().unwrap();
        for name in [KEYS, REVOCATIONS, OUTSIDE_KEYS] {
            write(cache.path(), name, b"{}").unwrap();
            assert_eq!(said_of(cache.path()), (None, String::new()), "as it is written");
            set_mode(&cache.path().join(name), 0o666);
            let refused = said_of(cache.path()).0.unwrap();
            assert!(refused.contains(name), "{refused}");
            std::fs::remove_file(cache.path().join(name)).unwrap();
        }
    }

    #[test]
    fn a_folder_or_copy_of_another_user_is_refused_unless_it_is_of_root() {
        let cache = TempDir::new().unwrap();
        write(cache.path(), KEYS, b"{}").unwrap();
        let mine = std::fs::metadata(cache.path()).unwrap().uid();
        assert_eq!(check(cache.path()), Ok(()));
        let refused = check_for(mine + 1, cache.path()).err().map(|refused| refused.to_string());
        if mine == ROOT {
            assert_eq!(refused, None, "root can change everything");
            // Only root can give files away.
            let owner = Some(nix::unistd::Uid::from_raw(4_321));
            for path in [cache.path().join(KEYS), cache.path().to_owned()] {
                nix::unistd::chown(&path, owner, None).unwrap();
                let refused = check(cache.path()).unwrap_err();
                assert_eq!(refused, Exposed::ToItsOwner(path, 4_321));
            }
        } else {
            let names = [SETTING, "belongs to another user", "chown"];
            assert!(names.iter().all(|name| refused.as_ref().unwrap().contains(name)));
        }
    }

    #[test]
    fn a_folder_above_that_everybody_can_write_to_is_refused_unless_it_is_sticky() {
        let above = TempDir::new().unwrap();
        let folder = above.path().join("identity");
        for is_there in [false, true] {
            if is_there {
                write(&folder, KEYS, b"{}").unwrap();
            }
            set_mode(above.path(), 0o777);
            let refused = check(&folder).unwrap_err();
            assert_eq!(refused, Exposed::ToAll(above.path().canonicalize().unwrap()));
            set_mode(above.path(), 0o1777);
            assert_eq!(said_of(&folder), (None, String::new()), "nobody can rename it: {is_there}");
        }
    }

    #[test]
    fn a_link_that_belongs_to_another_user_is_refused() {
        let cache = TempDir::new().unwrap();
        let (folder, link) = (cache.path().join("identity"), cache.path().join("link"));
        write(&folder, KEYS, b"{}").unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert_eq!(said_of(&link), (None, String::new()));
        let mine = std::fs::metadata(&folder).unwrap().uid();
        assert!(check_link(mine + 1, &folder).is_ok(), "it is no link");
        assert_eq!(check_link(mine + 1, &link).is_ok(), mine == ROOT);
        if mine == ROOT {
            // Only root can give links away.
            std::os::unix::fs::lchown(&link, Some(4_321), None).unwrap();
            assert_eq!(check(&link), Err(Exposed::ToItsOwner(link.clone(), 4_321)));
            let below = link.join("below");
            assert_eq!(check(&below), Err(Exposed::ToItsOwner(link, 4_321)));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_for_its_user_alone() {
        let cache = TempDir::new().unwrap();
        let folder = cache.path().join("identity");
        assert_eq!(said_of(&folder), (None, String::new()));
        write(&folder, KEYS, b"{}").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(KEYS))), (0o700, 0o600));
    }
}
