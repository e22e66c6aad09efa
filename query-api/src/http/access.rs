//! Asks the policy what a caller may see.

use access::{Caller, Decision, Permission, Scope};
use service_kit::Problem;

use super::Api;

impl Api {
    /// The rows that the caller may see with this permission.
    ///
    /// # Errors
    /// 401 or 403 if there are none.
    pub(crate) fn scope(&self, caller: &Caller, permission: Permission) -> Result<Scope, Problem> {
        self.policy.scope(caller, permission).map_err(identity::problem::refused)
    }

    /// The same for rows that belong to nobody. A permission for the caller's own rows shows none
    /// of them.
    ///
    /// # Errors
    /// 401 or 403 if the caller may not see all of them.
    pub(crate) fn everything(
        &self,
        caller: &Caller,
        permission: Permission,
    ) -> Result<Scope, Problem> {
        match self.scope(caller, permission)? {
            Scope::All => Ok(Scope::All),
            Scope::Of(_) => Err(identity::problem::refused(Decision::Forbidden(permission))),
        }
    }
}
