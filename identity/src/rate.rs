//! Limits the rate of each caller's requests. A caller who is signed in counts by id, anybody else
//! by address.

use std::sync::Arc;

use access::Principal;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use service_kit::http::{Left, RateKey, Rates, Step, StepLayer};

use crate::gate::RequestCaller;

/// Whose request it is, for handlers that count the parts of a request one by one.
#[derive(Debug, Clone, Copy)]
pub struct Counted(pub RateKey);

/// The step that counts requests against the limits of their operations.
#[derive(Clone)]
pub struct RateStep(Arc<Rates>);

/// The layer that limits routes. They belong behind the gate, which says who calls.
pub fn limits(rates: Rates) -> StepLayer<RateStep> {
    StepLayer(RateStep(Arc::new(rates)))
}

impl Step for RateStep {
    type After = Option<Left>;

    fn before(&self, request: &mut Request) -> Result<Option<Left>, Box<Response>> {
        let key = key(request);
        match self.0.of_request(request).count(key) {
            Ok(left) => {
                request.extensions_mut().insert(Counted(key));
                Ok(left)
            }
            Err(problem) => {
                service_kit::shed::count(problem.code());
                Err(Box::new(problem.into_response()))
            }
        }
    }

    fn after(&self, left: Option<Left>, mut response: Response) -> Response {
        if let Some(left) = left {
            left.write(response.headers_mut());
        }
        response
    }
}

fn key(request: &Request) -> RateKey {
    match request.extensions().get::<RequestCaller>().map(|RequestCaller(caller)| &caller.principal)
    {
        Some(Principal::User { id }) => RateKey::Caller(*id),
        _ => RateKey::of_address(request),
    }
}
