//! Who has access to the file of a private key besides the user that the process runs as.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

/// The permissions of everybody on the machine.
const OTHERS: u32 = 0o007;
/// The permissions of the file's group.
const GROUP: u32 = 0o070;
/// The user who may read every file anyway. A file of theirs reaches the process by its group.
const ROOT: u32 = 0;

/// Who else has access to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Every user of the machine.
    Everybody,
    /// The members of the file's group.
    Group,
}

impl Exposure {
    /// Who else has access to a file; `None` if nobody has.
    pub(super) fn of(file: &Metadata) -> Option<Self> {
        Self::by(file.mode(), file.uid())
    }

    const fn by(mode: u32, owner: u32) -> Option<Self> {
        if mode & OTHERS != 0 {
            Some(Self::Everybody)
        } else if mode & GROUP != 0 && owner != ROOT {
            Some(Self::Group)
        } else {
            None
        }
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everybody => "every user of this machine has access to it",
            Self::Group => "the group of the file has access to it, which is for a file of root",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_its_owner_and_one_of_root_for_its_group() {
        for (mode, owner, exposure) in [
            (0o100_600, 1000, None),
            (0o100_400, ROOT, None),
            (0o100_640, ROOT, None),
            (0o100_640, 1000, Some(Exposure::Group)),
            (0o100_620, 1000, Some(Exposure::Group)),
            (0o100_644, ROOT, Some(Exposure::Everybody)),
            (0o100_602, 1000, Some(Exposure::Everybody)),
        ] {
            assert_eq!(Exposure::by(mode, owner), exposure, "{mode:o} {owner}");
        }
    }
}
