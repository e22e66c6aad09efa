//! GraphQL mutations: a second representation of the application, next to REST.
//!
//! Every mutation has a payload with the id and version of what changed, the consistency token, and
//! the errors that a user can mend. Their codes are those of the problems of the REST API. What is
//! not up to the user, such as a store that is away or a missing permission, is an error of the
//! field, which is then null. The values of the other mutations of the request stay.
//!
//! The mutations of one request are carried out one after another, and each counts as a request of
//! its operation. Each is a command of its own: the second one is carried out although the first
//! was refused.
//!
//! The schema is a subgraph of Apollo Federation, valid on its own. Its entities have only their
//! ids here; the query API has their fields.

use std::sync::Arc;

use access::Caller;
use async_graphql::{
    EmptySubscription, Executor, Request as GraphqlRequest, Response as Executed, SDLExportOptions,
    Schema,
};
use axum::Router;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::any;
use graphql_kit::{Endpoint, Executes, limited};
use identity::gate::RequestCaller;
use identity::rate::Counted;
use service_kit::Problem;
use service_kit::http::{RateKey, RequestId, TraceParent};

use crate::http::Api;

mod command;
mod entity;
mod mutation;
mod payload;
mod query;

use mutation::Mutation;
use query::Query;

/// The path of the endpoint.
pub const PATH: &str = "/graphql";

/// The schema of the command API.
type CommandSchema = Schema<Query, Mutation, EmptySubscription>;

/// The origin of one request, for its commands.
struct Origin {
    caller: Caller,
    /// Whose rate its mutations count against.
    rate_key: RateKey,
    request_id: String,
    traceparent: Option<String>,
}

/// The routes of the endpoint.
pub fn routes(api: &Api) -> Router {
    let introspection = api.introspection;
    let schema = limited(builder().data(api.clone()), introspection).finish();
    let endpoint = Arc::new(Endpoint::new(schema, introspection));
    Router::new().route(PATH, any(serve)).with_state(endpoint)
}

/// The schema as text (SDL), with the directives of federation.
pub fn sdl() -> String {
    builder().finish().sdl_with_options(SDLExportOptions::new().federation().compose_directive())
}

fn builder() -> async_graphql::SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query, Mutation::default(), EmptySubscription).enable_federation()
}

async fn serve(
    State(endpoint): State<Arc<Endpoint<CommandSchema>>>,
    request: Request,
) -> Result<Response, Problem> {
    endpoint.answer(request, Prepared).await
}

/// Adds the origin of a request.
struct Prepared;

impl Executes for Prepared {
    async fn execute<E: Executor>(
        self,
        schema: &E,
        parts: &mut Parts,
        request: GraphqlRequest,
    ) -> Result<Executed, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let Ok(RequestId(request_id)) = RequestId::from_request_parts(parts, &()).await;
        let traceparent = parts.extensions.get::<TraceParent>();
        let traceparent = traceparent.map(|TraceParent(text)| text.clone());
        let Counted(rate_key) = parts.extensions.get().copied().ok_or_else(|| {
            tracing::error!("the endpoint has no rate");
            Problem::internal()
        })?;
        let origin = Origin { caller, rate_key, request_id, traceparent };
        Ok(schema.execute(request.data(origin)).await)
    }
}
