//! Preconditions: the versions of the changed aggregate that the caller requires or excludes.

/// The caller's requirements for the version of the aggregate. The default has none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Precondition {
    /// The aggregate must be at one of these versions.
    pub one_of: Option<Versions>,
    /// The aggregate must be at none of these versions.
    pub none_of: Option<Versions>,
}

/// Versions of an existing aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every version of the aggregate.
    Any,
    /// These versions. An empty list matches no version.
    These(Vec<i64>),
}

/// The condition that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    /// The aggregate is not at a version that the caller requires.
    OtherVersion,
    /// The aggregate is at a version that the caller excludes, or exists although the caller
    /// excludes that.
    NotWanted,
}

impl Precondition {
    /// Checks the conditions against an existing aggregate at `version`.
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

    /// Whether the conditions hold for an aggregate that does not exist yet. Such an aggregate has
    /// no version.
    pub const fn holds_for_nothing(&self) -> bool {
        self.one_of.is_none()
    }

    /// Whether the caller named the version to change. A lost race is then reported to the caller.
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
