//! The caller of an operation: a principal with what it may do now.

use uuid::Uuid;

use crate::grant::Grants;
use crate::principal::Principal;

/// Who asks for an operation, and what they may do. An API makes it of a verified credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who acts.
    pub principal: Principal,
    /// What they may do with this credential.
    pub grants: Grants,
    /// The session or API key that proves it; `None` for those who need none.
    pub credential: Option<Uuid>,
}

impl Caller {
    /// A caller that is not signed in. What it may do is up to the policy.
    pub fn anonymous() -> Self {
        Self { principal: Principal::Anonymous, grants: Grants::default(), credential: None }
    }

    /// A part of the system, which may do everything.
    pub fn system(principal: Principal) -> Self {
        Self { principal, grants: Grants::all(), credential: None }
    }
}
