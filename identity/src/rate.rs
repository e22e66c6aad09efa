//! Limits the rate of requests by who calls: a caller who is signed in by their id, and anybody
//! else by their address.

use std::sync::Arc;

use access::Principal;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use service_kit::http::{RateKey, Rates};

use crate::gate::RequestCaller;

/// Whose request it is, for handlers that count the parts of a request one by one.
#[derive(Debug, Clone, Copy)]
pub struct Counted(pub RateKey);

/// Puts the limits on these routes. They belong behind the gate, which says who calls.
pub fn limited<S: Clone + Send + Sync + 'static>(routes: Router<S>, rates: Rates) -> Router<S> {
    routes.layer(from_fn_with_state(Arc::new(rates), count))
}

async fn count(State(rates): State<Arc<Rates>>, mut request: Request, next: Next) -> Response {
    let key = key(&request);
    match rates.of_request(&request).count(key) {
        Ok(left) => {
            request.extensions_mut().insert(Counted(key));
            let mut response = next.run(request).await;
            if let Some(left) = left {
                left.write(response.headers_mut());
            }
            response
        }
        Err(problem) => {
            service_kit::shed::count(problem.code());
            problem.into_response()
        }
    }
}

fn key(request: &Request) -> RateKey {
    match request.extensions().get::<RequestCaller>().map(|RequestCaller(caller)| &caller.principal)
    {
        Some(Principal::User { id }) => RateKey::Caller(*id),
        _ => RateKey::of_address(request),
    }
}
