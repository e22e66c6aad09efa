//! Who asks for operations on an admin port, and whether they may.
//!
//! A process that can verify access tokens asks for one with the right permission. What everybody
//! may do does not count here: no setting opens an operation to callers without a token. A process
//! that cannot verify tokens asks for none. Everybody who reaches its port may ask for everything,
//! under any name.
//!
//! The record of an operation names the holder of the token. The field `by` of a request counts
//! only in a process that takes no tokens ([`Operator::signature`]).

use access::{Caller, Decision, Grants, Owner, Permission, Policy, Principal};
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use service_kit::{FieldError, Problem};
use uuid::Uuid;

use crate::gate::Gate;
use crate::problem;

/// The pointer of the field in which a request says who sends it.
const BY: &str = "/by";

/// Admits operators to the operations of an admin port. With a gate, they need an access token.
#[derive(Debug, Clone)]
pub struct Operators(Option<Gate>);

/// Who asks for an operation.
#[derive(Debug, Clone)]
pub struct Operator(Option<Caller>);

/// Who asked for an operation, as its record keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The holder of the access token, as `user:ID`. Without a token, what the request says.
    pub by: String,
    /// The session or API key that the token was issued for.
    pub credential: Option<Uuid>,
}

impl Operators {
    /// Asks everybody for a token that this gate accepts.
    pub const fn with_tokens(gate: Gate) -> Self {
        Self(Some(gate))
    }

    /// Asks nobody. The port must be out of reach for strangers.
    pub const fn unverified() -> Self {
        Self(None)
    }

    /// Puts this in front of the routes. Their handlers get the [`Operator`].
    pub fn admit<S: Clone + Send + Sync + 'static>(self, routes: Router<S>) -> Router<S> {
        routes.layer(from_fn_with_state(self, pass))
    }
}

async fn pass(
    State(Operators(gate)): State<Operators>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = gate.map(|gate| gate.caller(request.headers())).transpose();
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(Operator(caller));
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

impl Operator {
    /// The caller of a process that takes no access tokens.
    pub const fn unverified() -> Self {
        Self(None)
    }

    /// The caller whom a gate let pass.
    pub const fn verified(caller: Caller) -> Self {
        Self(Some(caller))
    }

    /// Checks that they may ask for operations that take this permission.
    ///
    /// # Errors
    /// 401 without a token, 403 without the permission.
    pub fn check(&self, permission: Permission) -> Result<(), Problem> {
        let Some(caller) = &self.0 else { return Ok(()) };
        let policy = Policy::with_public(Grants::default());
        match policy.decide(caller, permission, Owner::Nobody) {
            Decision::Allowed => Ok(()),
            // An operation has no owner, so a permission for one's own things is not enough.
            Decision::Hidden => Err(problem::forbidden(permission)),
            refused => Err(problem::refused(refused)),
        }
    }

    /// Checks that they may ask for operations that take one of these permissions.
    ///
    /// # Errors
    /// 401 without a token, 403 without any of the permissions.
    pub fn check_any(&self, permissions: &[Permission]) -> Result<(), Problem> {
        let mut refused = Ok(());
        for permission in permissions {
            refused = self.check(*permission);
            if refused.is_ok() {
                return refused;
            }
        }
        let is_forbidden = |problem: &Problem| problem.status() == StatusCode::FORBIDDEN;
        if refused.as_ref().is_err_and(is_forbidden) {
            return Err(problem::forbidden_without(permissions));
        }
        refused
    }

    /// Whether they may ask for operations that take this permission.
    pub fn may(&self, permission: Permission) -> bool {
        self.check(permission).is_ok()
    }

    /// The person that the record of an operation names. `by` is the field of the request, and
    /// `check` adds an error for a text that does not fit. With a token, the request must not have
    /// the field.
    ///
    /// An error is added to `wrong`; then the signature is not to be used.
    pub fn signature(
        &self,
        by: Option<String>,
        check: impl FnOnce(&str, &mut Vec<FieldError>),
        wrong: &mut Vec<FieldError>,
    ) -> Signature {
        if let Some(caller) = &self.0 {
            if by.is_some() {
                let detail = "the access token says who asks: leave this out";
                wrong.push(FieldError::new(BY, "unexpected", detail));
            }
            let (by, credential) = (caller.principal.to_string(), caller.credential);
            return Signature { by, credential };
        }
        match &by {
            None => {
                let detail = "say who asks, without an access token: this process takes none";
                wrong.push(FieldError::new(BY, "required", detail));
            }
            // The record would look as if a token had said it.
            Some(by) if Principal::is_resembled_by(by) => {
                let detail = "this form is for the holders of access tokens";
                wrong.push(FieldError::new(BY, "invalid", detail));
            }
            Some(by) => check(by, wrong),
        }
        Signature { by: by.unwrap_or_default(), credential: None }
    }

    /// Does the same for a request without other fields to check.
    ///
    /// # Errors
    /// 422 with the errors.
    pub fn signs(
        &self,
        by: Option<String>,
        check: impl FnOnce(&str, &mut Vec<FieldError>),
    ) -> Result<Signature, Problem> {
        let mut wrong = Vec::new();
        let signature = self.signature(by, check, &mut wrong);
        if wrong.is_empty() { Ok(signature) } else { Err(Problem::invalid(wrong)) }
    }
}

impl Signature {
    /// Who asked, and with which credential.
    pub fn asker(&self) -> (&str, Option<Uuid>) {
        (&self.by, self.credential)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a route of operations lets everybody in");
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ADA: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);
    const OPERATE: Permission = Permission::ProjectionsOperate;

    fn holder(grants: &str) -> Operator {
        Operator::verified(Caller {
            principal: Principal::User { id: ADA },
            grants: grants.parse().unwrap(),
            credential: Some(SESSION),
            client: None,
        })
    }

    fn signed(operator: &Operator, by: Option<&str>) -> (Signature, Vec<String>) {
        let mut wrong = Vec::new();
        let unfit = |by: &str, wrong: &mut Vec<FieldError>| {
            if by == "unfit" {
                wrong.push(FieldError::new(BY, "invalid", "unfit"));
            }
        };
        let signature = operator.signature(by.map(str::to_owned), unfit, &mut wrong);
        let codes = wrong.into_iter().map(|error| error.code.to_string()).collect();
        (signature, codes)
    }

    #[test]
    fn only_the_permission_for_everything_allows_operations() {
        let status = |operator: &Operator| operator.check(OPERATE).map_err(|error| error.status());
        assert_eq!(status(&holder("projections:operate")), Ok(()));
        for grants in ["", "log:operate", "projections:operate.own"] {
            assert_eq!(status(&holder(grants)).unwrap_err(), 403, "{grants:?}");
        }
        assert_eq!(status(&Operator::verified(Caller::anonymous())).unwrap_err(), 401);
        assert_eq!(status(&Operator::unverified()), Ok(()));
    }

    #[test]
    fn a_token_signs_and_the_request_may_not_say_somebody_else() {
        let ada = holder("projections:operate");
        let (signature, wrong) = signed(&ada, None);
        let by = format!("user:{ADA}");
        assert_eq!(signature, Signature { by: by.clone(), credential: Some(SESSION) });
        assert_eq!(wrong, [""; 0]);
        for said in ["clerk-7", &by] {
            assert_eq!(signed(&ada, Some(said)).1, ["unexpected"], "{said}");
        }
    }

    #[test]
    fn without_tokens_the_request_says_who_asks_but_never_that_a_token_said_so() {
        let nobody = Operator::unverified();
        let (signature, wrong) = signed(&nobody, Some("clerk-7"));
        assert_eq!(signature, Signature { by: "clerk-7".to_owned(), credential: None });
        assert_eq!(wrong, [""; 0]);
        assert_eq!(signed(&nobody, None).1, ["required"]);
        let principal = format!("user:{ADA}");
        let shouted = principal.to_uppercase();
        let others = ["User:", "user:x", "System:x", "system:", "Anonymous", " user:x"];
        for said in
            ["unfit", &principal, &shouted, "system:relay", "anonymous"].iter().chain(&others)
        {
            assert_eq!(signed(&nobody, Some(said)).1, ["invalid"], "{said}");
        }
    }
}
