//! Which versions of the changed aggregate the caller wants it to be at, or not to be at.

/// What the caller requires of the aggregate's version. The default requires nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// It is at one of these.
    pub one_of: Option<Versions>,
    /// It is at none of these.
    pub none_of: Option<Versions>,
}

/// Versions of an aggregate that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Whichever it is at.
    Any,
    /// These; an empty list matches no version.
    These(Vec<i64>),
}

/// Which condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// The aggregate is at another version than the ones that the caller wants.
    OtherVersion,
    /// The aggregate is there, or at a version that the caller does not want.
    NotWanted,
}

impl Precondition {
    /// Compares with an aggregate that exists, at `version`.
    ///
    /// # Errors
    /// The condition that does not hold.
    pub fn check(&self, version: i64) -> Result<(), Unmet> {
        if self.one_of.as_ref().is_some_and(|versions| !versions.contain(version)) {
            return Err(Unmet::OtherVersion);
        }
        if self.none_of.as_ref().is_some_and(|versions| versions.contain(version)) {
            return Err(Unmet::NotWanted);
        }
        Ok(())
    }

    /// Whether it holds for what does not exist yet, as for anything that a command makes: such a
    /// thing is at no version.
    pub const fn holds_for_nothing(&self) -> bool {
        self.one_of.is_none()
    }

    /// Whether the caller named the version to change, so that a lost race is theirs to see.
    pub const fn is_named(&self) -> bool {
        matches!(self.one_of, Some(Versions::These(_)))
    }
}

impl Versions {
    fn contain(&self, version: i64) -> bool {
        match self {
            Self::Any => true,
            Self::These(versions) => versions.contains(&version),
        }
    }
}
