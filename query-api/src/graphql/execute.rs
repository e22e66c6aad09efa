//! Executes one request: counts it, waits for its position, and asks all of its questions in one
//! snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::{Executor, Request as GraphqlRequest, Response as Executed, Value, Variables};
use axum::extract::FromRequestParts as _;
use axum::http::request::Parts;
use graphql_kit::Executes;
use graphql_kit::limits::root_fields;
use identity::gate::RequestCaller;
use identity::rate::Counted;
use serde_json::json;
use service_kit::Problem;
use service_kit::envelope::lag_seconds;
use service_kit::http::{RateKey, RequestId};

use super::asked::Asked;
use super::asking::{Asking, Outcome, Shared};
use super::questions::Questions;
use crate::http::Api;
use crate::read::Seen;
use crate::wait::Wait;

/// The fields that stand for an operation of the REST API, which has its rate.
const OPERATIONS: &[(&str, &str)] = &[
    // One line each.
    ("order", "getOrder"),
    ("orders", "listOrders"),
    ("product", "getProduct"),
    ("products", "listProducts"),
    ("sales", "listDailySales"),
    ("user", "getUser"),
    ("users", "listUsers"),
];

/// The `operationId` of the operation that a field stands for. Others have no rate of their own.
fn operation(field: &str) -> &str {
    OPERATIONS.iter().find(|(name, _)| *name == field).map_or(field, |(_, id)| id)
}

/// What executes one request.
pub(super) struct Execution {
    pub(super) api: Api,
    /// The wait that its headers and parameters ask for.
    pub(super) wait: Option<Wait>,
}

/// A request that may be executed again, if the tables were switched or are not there yet.
struct Repeatable {
    first: Mutex<Option<GraphqlRequest>>,
    query: String,
    operation_name: Option<String>,
    variables: Variables,
}

impl Repeatable {
    fn new(request: GraphqlRequest) -> Self {
        Self {
            query: request.query.clone(),
            operation_name: request.operation_name.clone(),
            variables: request.variables.clone(),
            first: Mutex::new(Some(request)),
        }
    }

    /// The request. The first one is parsed already.
    fn request(&self) -> GraphqlRequest {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| {
            let mut request =
                GraphqlRequest::new(self.query.clone()).variables(self.variables.clone());
            request.operation_name.clone_from(&self.operation_name);
            request
        })
    }
}

impl Execution {
    /// Counts each field at the root as a request of its operation.
    ///
    /// # Errors
    /// The caller has sent too many.
    pub(super) fn count(
        &self,
        request: &mut GraphqlRequest,
        rate_key: RateKey,
    ) -> Result<(), Problem> {
        let name = request.operation_name.clone();
        let Ok(document) = request.parsed_query() else { return Ok(()) };
        // What begins with `__` is about the schema.
        let fields = root_fields(document, name.as_deref());
        for field in fields.into_iter().filter(|field| !field.starts_with("__")) {
            if let Err(problem) = self.api.rates.named(operation(field)).count(rate_key) {
                service_kit::shed::count(problem.code());
                return Err(problem);
            }
        }
        Ok(())
    }
}

/// What an answer says about itself, as `meta` of the REST API does.
pub(super) fn meta(api: &Api, request_id: &str, seen: Option<&Seen>) -> Value {
    let mut meta = json!({"requestId": request_id, "timestamp": api.clock.now()});
    if let Some(Seen { epoch, position, stale, lag, .. }) = seen {
        meta["position"] = (*position).into();
        if let Some(lag) = lag {
            meta["lagSeconds"] = lag_seconds(*lag).into();
        }
        if let Some(epoch) = epoch {
            meta["epoch"] = epoch.to_string().into();
        }
        if *stale {
            meta["stale"] = true.into();
        }
    }
    // It is made of texts and numbers, so it always is a value.
    Value::from_json(meta).unwrap_or_default()
}

impl Executes for Execution {
    async fn execute<E: Executor>(
        self,
        schema: &E,
        parts: &mut Parts,
        mut request: GraphqlRequest,
    ) -> Result<Executed, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let Ok(RequestId(request_id)) = RequestId::from_request_parts(parts, &()).await;
        let Counted(rate_key) = parts.extensions.get().copied().ok_or_else(|| {
            tracing::error!("the endpoint has no rate");
            Problem::internal()
        })?;
        self.count(&mut request, rate_key)?;
        let wait = Asked::of(&request, &self.api.token_key)?.or_header(self.wait)?;
        let request = Repeatable::new(request);
        let wait = wait.map(|wait| (wait.token, wait.patience));
        let execution = self.api.reader.snapshot(wait, |snapshot| {
            let (api, caller) = (self.api.clone(), caller.clone());
            let shared = Shared::new(api, caller, request_id.clone(), snapshot);
            let questions = Questions::default();
            // The snapshot ends when the request is gone, which owns what asks in it.
            let asking = Asking::new(Arc::clone(&shared), questions.clone());
            let request = request.request().data(asking);
            async move {
                let executed = questions.answer(schema.execute(request)).await;
                (executed, shared.outcome())
            }
        });
        let (executed, Outcome { seen, failure }) = execution.await?;
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(executed.extension("meta", meta(&self.api, &request_id, seen.as_ref()))),
        }
    }
}
