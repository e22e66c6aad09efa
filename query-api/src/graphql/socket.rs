//! GraphQL over a web socket: subscriptions, and queries too.
//!
//! A socket holds a place among the streams, and so does each of its subscriptions. Its caller is
//! the one of the request that opened it, or the one whose token the first message has. The caller
//! is checked again while it is open.

use std::sync::Arc;

use access::{Caller, Principal};
use async_graphql::parser::types::OperationType;
use async_graphql::{Request as GraphqlRequest, Response as Executed, Value};
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures::future::ready;
use futures::stream::{BoxStream, StreamExt as _, once};
use graphql_kit::Executes as _;
use graphql_kit::answer::refusal;
use graphql_kit::socket::{Closing, Output, Session, SocketLimits, converse, prepared};
use identity::gate::RequestCaller;
use identity::rate::Counted;
use service_kit::Problem;
use service_kit::http::{KeptConnection, REQUEST_DEADLINE, RateKey, RequestId};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::Graphql;
use super::asked::Asked;
use super::execute::Execution;
use super::failure::server_error;
use super::subscription::{Again, Subscriber};
use crate::place::Held;

/// The sockets that were closed, by code. Those that clients closed count as 0.
const CLOSED: &str = "graphql_sockets_closed";

/// Answers the request that opens a socket.
pub(super) async fn open(graphql: Arc<Graphql>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let RequestCaller(caller) = RequestCaller::of(&parts)?;
    let Counted(client) = parts.extensions.get().copied().ok_or_else(|| {
        tracing::error!("the endpoint has no rate");
        Problem::internal()
    })?;
    let connection = KeptConnection::take(&mut parts);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    let upgrade = upgrade.map_err(|refused| {
        let title = "This is no request for a web socket";
        Problem::new(refused.status(), "web-socket-invalid", title).detail(refused.body_text())
    })?;
    let credentials = parts.headers.get(AUTHORIZATION).cloned();
    let credentials = credentials.map(|value| (AUTHORIZATION, value)).into_iter().collect();
    let stop = graphql.api.live.stop();
    let place = graphql.api.live.take(client)?;
    let queries = Arc::new(Semaphore::new(QUERIES_AT_ONCE));
    let socket = Socket { graphql, caller, client, credentials, place, queries };
    let serve = move |stream: WebSocket| async move {
        let closing = converse(stream, socket, SocketLimits::default(), stop).await;
        let code = closing.map_or(0, |closing| closing.code);
        metrics::counter!(CLOSED, "code" => code.to_string()).increment(1);
        drop(connection);
    };
    let upgrade = prepared(upgrade).on_failed_upgrade(|error| {
        tracing::debug!(%error, "a web socket did not open");
    });
    Ok(upgrade.on_upgrade(serve))
}

/// Describes the metric of sockets.
pub(super) fn describe() {
    metrics::describe_counter!(
        CLOSED,
        "Web sockets that ended, by the code of the server; 0 if the client ended it"
    );
}

/// The maximum number of queries of a socket that are executed, or whose answers wait, at once.
const QUERIES_AT_ONCE: usize = 4;

/// The number of events of a subscription that wait for the socket.
const WORKED_AHEAD: usize = 1;

/// A socket of a client.
struct Socket {
    graphql: Arc<Graphql>,
    caller: Caller,
    client: RateKey,
    credentials: HeaderMap,
    place: Held,
    /// The places of its queries.
    queries: Arc<Semaphore>,
}

impl Session for Socket {
    fn init(&mut self, payload: Option<serde_json::Value>) -> Result<(), Closing> {
        if let Some(credentials) = credentials(payload.as_ref())? {
            self.credentials = HeaderMap::from_iter([(AUTHORIZATION, credentials)]);
        }
        let api = &self.graphql.api;
        self.caller = api.gate.caller(&self.credentials).map_err(|problem| closing(&problem))?;
        if let Principal::User { id } = &self.caller.principal {
            // Until now it was one of its address.
            self.client = RateKey::Caller(*id);
            self.place.move_to(self.client).map_err(|problem| closing(&problem))?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Closing> {
        let caller = self.graphql.api.gate.caller(&self.credentials);
        caller.map(drop).map_err(|problem| closing(&problem))
    }

    fn operation(&mut self, request: GraphqlRequest) -> BoxStream<'static, Output> {
        let refused = |error| once(ready(Output::Error(vec![error]))).boxed();
        // As over HTTP, a request counts before anything is known about it.
        if let Err(problem) = self.graphql.api.rates.others().count(self.client) {
            service_kit::shed::count(problem.code());
            return refused(server_error(&problem, &Uuid::now_v7().to_string()));
        }
        match self.graphql.endpoint.admit(request) {
            Ok((request, Some(OperationType::Subscription))) => self.subscription(request),
            Ok((_, Some(OperationType::Mutation))) => {
                refused(refusal("send a mutation by POST: a socket may break before its answer"))
            }
            // The schema says why there is no such operation.
            Ok((request, Some(OperationType::Query) | None)) => self.query(request),
            Err(error) => refused(error),
        }
    }
}

impl Socket {
    fn execution(&self) -> Execution {
        Execution { api: self.graphql.api.clone(), wait: None }
    }

    fn query(&self, request: GraphqlRequest) -> BoxStream<'static, Output> {
        let (execution, schema) = (self.execution(), self.graphql.endpoint.schema().clone());
        let request_id = Uuid::now_v7().to_string();
        let mut parts = self.parts(&request_id);
        let executed = async move {
            let executed = execution.execute(&schema, &mut parts, request);
            timeout(REQUEST_DEADLINE, executed).await.unwrap_or_else(|_| Err(late()))
        };
        let queries = Arc::clone(&self.queries);
        let answer = async move {
            // Only those that are never closed fail to give a place.
            let place = queries.acquire_owned().await;
            // A task of its own: while the socket waits for its client, none of its queries may
            // hold a snapshot open.
            let executed = AbortOnDropHandle::new(tokio::spawn(executed)).await;
            drop(place);
            match executed.unwrap_or_else(|_| Err(Problem::internal())) {
                Ok(executed) => output(executed),
                Err(problem) => Output::Error(vec![server_error(&problem, &request_id)]),
            }
        };
        once(answer).boxed()
    }

    /// What a request of this client would bring, if it had been sent by HTTP.
    fn parts(&self, request_id: &str) -> Parts {
        let (mut parts, ()) = axum::http::Request::new(()).into_parts();
        parts.extensions.insert(RequestCaller(self.caller.clone()));
        parts.extensions.insert(Counted(self.client));
        parts.extensions.insert(RequestId(request_id.to_owned()));
        parts
    }

    fn subscription(&self, mut request: GraphqlRequest) -> BoxStream<'static, Output> {
        let request_id = Uuid::now_v7().to_string();
        if let Err(problem) = self.execution().count(&mut request, self.client) {
            return once(ready(Output::Error(vec![server_error(&problem, &request_id)]))).boxed();
        }
        let asked = match Asked::of(&request, &self.graphql.api.token_key) {
            Ok(asked) => asked,
            Err(problem) => {
                let error = server_error(&problem, &request_id);
                return once(ready(Output::Error(vec![error]))).boxed();
            }
        };
        let again = Arc::<Again>::default();
        let subscriber = Subscriber {
            api: self.graphql.api.clone(),
            caller: self.caller.clone(),
            credentials: self.credentials.clone(),
            client: self.client,
            request_id,
            asked,
            again: Arc::clone(&again),
        };
        let answers = self.graphql.events.execute_stream(request.data(subscriber));
        driven(answers.filter(move |_| ready(!again.is_wanted())).map(output).boxed())
    }
}

/// The stream of a subscription, worked out in a task of its own. While the socket waits for its
/// client, no subscription may hold a snapshot open, or keep the turn of other streams.
fn driven(mut outputs: BoxStream<'static, Output>) -> BoxStream<'static, Output> {
    let (sender, receiver) = mpsc::channel(WORKED_AHEAD);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(output) = outputs.next().await {
            if sender.send(output).await.is_err() {
                return;
            }
        }
    }));
    let next =
        async |(mut receiver, task): (mpsc::Receiver<Output>, Option<AbortOnDropHandle<()>>)| {
            if let Some(output) = receiver.recv().await {
                return Some((output, (receiver, task)));
            }
            // It has ended; a panic is told.
            let failed = task?.await.is_err();
            let error = || server_error(&Problem::internal(), &Uuid::now_v7().to_string());
            failed.then(|| (Output::Error(vec![error()]), (receiver, None)))
        };
    futures::stream::unfold((receiver, Some(task)), next).boxed()
}

/// What an operation says with an answer. Without data it was not executed, or it ends.
fn output(executed: Executed) -> Output {
    if executed.data == Value::Null && !executed.errors.is_empty() {
        return Output::Error(executed.errors);
    }
    Output::Next(executed)
}

/// The credentials in the first message of a client: `authorization`, as in HTTP.
fn credentials(payload: Option<&serde_json::Value>) -> Result<Option<HeaderValue>, Closing> {
    use serde_json::Value;
    let members = match payload {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Closing::invalid("the payload is an object")),
    };
    let mut given =
        members.iter().filter(|(name, _)| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()));
    match (given.next(), given.next()) {
        (None | Some((_, Value::Null)), None) => Ok(None),
        (Some((_, Value::String(text))), None) => {
            HeaderValue::from_str(text).map(Some).map_err(|_| Closing::forbidden("Forbidden"))
        }
        _ => Err(Closing::invalid("`authorization` is one text")),
    }
}

/// How a socket is closed whose client is refused for this reason.
fn closing(problem: &Problem) -> Closing {
    let reason = format!("{}: {}", problem.code(), problem.title());
    match problem.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Closing::forbidden(reason),
        // It has too many, or nobody knows yet who it is.
        _ => Closing::try_again_later(reason),
    }
}

fn late() -> Problem {
    Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "The answer took too long")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_message_may_have_credentials_as_http_has_them() {
        for (payload, expected) in [
            (json!(null), Some(None)),
            (json!({}), Some(None)),
            (json!({"authorization": null, "x": 1}), Some(None)),
            (json!({"authorization": "Bearer x"}), Some(Some("Bearer x"))),
            (json!({"Authorization": "Bearer x"}), Some(Some("Bearer x"))),
            (json!({"Authorization": "Bearer x", "authorization": "Bearer y"}), None),
            (json!({"authorization": 7}), None),
            (json!({"authorization": "\n"}), None),
            (json!([]), None),
            (json!("Bearer x"), None),
        ] {
            let read = credentials(Some(&payload)).ok();
            let expected = expected.map(|text| text.map(HeaderValue::from_static));
            assert_eq!(read, expected, "{payload}");
        }
        assert_eq!(credentials(None), Ok(None));
    }
}
