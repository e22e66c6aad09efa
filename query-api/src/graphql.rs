//! GraphQL queries and subscriptions: a second representation of the questions and of live updates,
//! next to REST.
//!
//! All questions of a request are asked in one snapshot, so that the whole answer shows one
//! position. What lies below the rows of a list is loaded in one statement for all of them; the
//! head of `questions.rs` says how.
//!
//! The policy decides on each field as on the operation of the REST API that shows the same. What
//! is not the caller's is null or left out, as what is absent. A field that the caller may not ask
//! for at all is null with an error. What fails in the database fails for the whole snapshot, so it
//! is the problem that the REST API answers with.
//!
//! The schema is a subgraph of Apollo Federation, valid on its own. It resolves the entities that
//! the mutations of the command API name.

use std::sync::Arc;

use async_graphql::{EmptyMutation, SDLExportOptions, Schema, SchemaBuilder};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::response::Response;
use axum::routing::any;
use graphql_kit::{Endpoint, Introspection, limited};
use service_kit::Problem;
use service_kit::http::asks_for_web_socket;

use crate::http::Api;
use crate::wait::{PREFERENCE_APPLIED, Wait};

mod asked;
mod asking;
mod connection;
mod execute;
mod failure;
mod graphiql;
mod load;
mod money;
mod node;
mod order;
mod product;
mod query;
mod questions;
mod sales;
mod scalar;
mod socket;
mod subscription;
mod user;

use execute::Execution;
use query::Query;
use subscription::{Events, Subscription};

/// The path of the endpoint.
pub const PATH: &str = "/graphql";

/// How long the lists without `first` usually are.
const LISTS: &[(&str, usize)] = &[("addresses", 3), ("items", 5)];

/// The schema of the query API.
type QuerySchema = Schema<Query, EmptyMutation, Subscription>;

/// What the endpoint shows of itself.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Whether clients may ask for the schema.
    pub introspection: Introspection,
    /// Whether there is a page to try queries on.
    pub graphiql: bool,
}

/// What the endpoint answers with.
struct Graphql {
    api: Api,
    endpoint: Endpoint<QuerySchema>,
    /// The same schema for subscriptions. What gives each event its snapshot would cost each field
    /// of a query something, too.
    events: QuerySchema,
}

/// The routes of the endpoint, and of its page if there is one.
pub fn routes(api: &Api, settings: Settings) -> Router {
    socket::describe();
    let schema = limited(builder(), settings.introspection).finish();
    let events = limited(builder(), settings.introspection).extension(Events).finish();
    let endpoint = Endpoint::new(schema, settings.introspection).with_lists(LISTS);
    let graphql = Arc::new(Graphql { api: api.clone(), endpoint, events });
    let routes = Router::new().route(PATH, any(serve)).with_state(graphql);
    if settings.graphiql { routes.merge(graphiql::routes()) } else { routes }
}

/// The schema as text (SDL), with the directives of federation.
pub fn sdl() -> String {
    builder().finish().sdl_with_options(SDLExportOptions::new().federation().compose_directive())
}

fn builder() -> SchemaBuilder<Query, EmptyMutation, Subscription> {
    Schema::build(Query::default(), EmptyMutation, Subscription::default())
        .enable_federation()
        .enable_subscription_in_federation()
}

async fn serve(State(graphql): State<Arc<Graphql>>, request: Request) -> Result<Response, Problem> {
    if asks_for_web_socket(request.headers()) {
        return socket::open(graphql, request).await;
    }
    let Graphql { api, endpoint, .. } = graphql.as_ref();
    let query = request.uri().query().unwrap_or_default();
    let wait = Wait::of_others(request.headers(), query, &api.token_key)?;
    let execution = Execution { api: api.clone(), wait };
    let mut response = endpoint.answer(request, execution).await?;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.append(VARY, HeaderValue::from_static("authorization, consistency-token, prefer"));
    if let Some(applied) = wait.and_then(|wait| wait.preference_applied()) {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}
