//! The gate in front of an API's routes: it says who calls.
//!
//! A request without `Authorization` is anonymous. A request with a token that is not valid gets a
//! 401; it is never treated as anonymous. What a caller may do is decided behind the gate, by
//! [`access::Policy`].

use std::sync::Arc;

use access::Caller;
use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use service_kit::Problem;
use service_kit::http::{Rates, Step, StepLayer, single};

use crate::outside::{NotAccepted, OutsideVerifier};
use crate::problem;
use crate::revocation::Revocations;
use crate::verifier::Verifier;

/// The authentication scheme (RFC 6750).
const SCHEME: &str = "Bearer";

/// Finds out who calls. Clones share the verifiers.
#[derive(Debug, Clone)]
pub struct Gate {
    verifier: Arc<Verifier>,
    outside: Option<Arc<OutsideVerifier>>,
    revocations: Revocations,
}

/// The caller of a request, as the gate identified it.
#[derive(Debug, Clone)]
pub struct RequestCaller(pub Caller);

impl Gate {
    /// A gate that accepts the tokens that `verifier` accepts and that are not revoked.
    pub const fn new(verifier: Arc<Verifier>, revocations: Revocations) -> Self {
        Self { verifier, outside: None, revocations }
    }

    /// Also accepts the tokens that this verifier accepts, if there is one. They are revoked by
    /// user only: the issuer's sessions are not known here.
    #[must_use]
    pub fn accepting(self, outside: Option<Arc<OutsideVerifier>>) -> Self {
        Self { outside, ..self }
    }

    /// What verifies the tokens.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What is revoked.
    pub const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The layer for routes behind this gate. Their handlers get the [`RequestCaller`].
    pub fn layer(self) -> StepLayer<GateStep> {
        StepLayer(GateStep(Arc::new((self, None))))
    }

    /// Does the same as [`layer`](Self::layer). A request that the gate refuses counts for its
    /// address: it costs the check of a signature.
    pub fn layer_at_rates(self, rates: Rates) -> StepLayer<GateStep> {
        StepLayer(GateStep(Arc::new((self, Some(rates)))))
    }

    /// The caller of a request with these headers.
    ///
    /// # Errors
    /// 401 if the request has a token that is not valid, or other credentials. 503 if no key of its
    /// issuer is known yet, or the revocations are not known.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let credentials = single(headers, &AUTHORIZATION).map_err(|_| problem::invalid_token())?;
        let Some(credentials) = credentials else { return Ok(Caller::anonymous()) };
        let token = bearer(credentials).ok_or_else(problem::invalid_token)?;
        if !self.revocations.is_known() {
            return Err(problem::no_keys());
        }
        match &self.outside {
            Some(outside) if outside.is_for(token) => self.outsider(outside, token),
            _ => self.ours(token),
        }
    }

    fn ours(&self, token: &str) -> Result<Caller, Problem> {
        match self.verifier.verify(token) {
            Ok(verified) if self.revocations.refuse(&verified.claims) => {
                tracing::debug!(user = %verified.claims.sub, "a revoked access token is refused");
                Err(problem::invalid_token())
            }
            Ok(verified) => Ok(verified.caller.clone()),
            Err(_) if !self.verifier.knows_keys() => Err(problem::no_keys()),
            Err(error) => {
                tracing::debug!(%error, "an access token is refused");
                Err(problem::invalid_token())
            }
        }
    }

    fn outsider(&self, outside: &OutsideVerifier, token: &str) -> Result<Caller, Problem> {
        match outside.verify(token) {
            Ok(outsider) if self.revocations.refuse_user(outsider.user, outsider.issued_at) => {
                tracing::debug!(user = %outsider.user, "a revoked access token is refused");
                Err(problem::invalid_token())
            }
            Ok(outsider) => Ok(outsider.caller.clone()),
            Err(NotAccepted::NotKnownYet) => Err(problem::no_keys()),
            Err(NotAccepted::Invalid(error)) => {
                tracing::debug!(%error, "an access token of the outside issuer is refused");
                Err(problem::invalid_token())
            }
        }
    }
}

/// The token in the value of `Authorization`.
fn bearer(credentials: &str) -> Option<&str> {
    let (scheme, token) = credentials.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case(SCHEME) && !token.is_empty()).then_some(token)
}

/// The step at which a gate lets requests pass.
#[derive(Clone)]
pub struct GateStep(Arc<(Gate, Option<Rates>)>);

impl Step for GateStep {
    type After = ();

    fn before(&self, request: &mut Request) -> Result<(), Box<Response>> {
        let (gate, rates) = &*self.0;
        match gate.caller(request.headers()) {
            Ok(caller) => {
                request.extensions_mut().insert(RequestCaller(caller));
                Ok(())
            }
            Err(problem) => Err(Box::new(match rates {
                Some(rates) => rates.of_request(request).counted(request, problem),
                None => problem.into_response(),
            })),
        }
    }
}

impl RequestCaller {
    /// The caller of a request that came through a gate.
    ///
    /// # Errors
    /// 500 if there is no gate in front of the route.
    pub fn of(parts: &Parts) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!("a route has no gate");
            Problem::internal()
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

#[cfg(test)]
mod tests;
