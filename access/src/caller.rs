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
    /// The client that acts for them, such as a frontend; `None` if it is not known.
    pub client: Option<String>,
}

impl Caller {
    /// A caller that is not signed in. What it may do is up to the policy.
    pub fn anonymous() -> Self {
        Self::without_credential(Principal::Anonymous, Grants::default())
    }

    /// A part of the system, which may do everything.
    pub fn system(principal: Principal) -> Self {
        Self::without_credential(principal, Grants::all())
    }

    fn without_credential(principal: Principal, grants: Grants) -> Self {
        Self { principal, grants, credential: None, client: None }
    }
}
