//! Limits the rate of requests by who calls: a caller who is signed in by their id, and anybody
//! else by their address.

use access::Principal;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use service_kit::http::{RateKey, Rates};

use crate::gate::RequestCaller;

/// Puts the limits on these routes. They belong behind the gate, which says who calls.
pub fn limited<S: Clone + Send + Sync + 'static>(routes: Router<S>, rates: Rates) -> Router<S> {
    routes.layer(from_fn_with_state(rates, count))
}

async fn count(State(rates): State<Rates>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let limits = rates.of(request.method(), path);
    match limits.count(key(&request)) {
        Ok(left) => {
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
