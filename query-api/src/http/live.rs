//! Live updates over HTTP: the same paths as for single answers, with `Accept: text/event-stream`.

use std::sync::Arc;

use access::{Permission, Scope};
use axum::body::Body;
use axum::extract::OriginalUri;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use identity::rate::Counted;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::http::{MediaRanges, RateKey};
use service_kit::{FieldError, PageInfo, Problem};
use utoipa::IntoParams;
use uuid::Uuid;

use super::Api;
use super::answer::RowRequest;
use super::list::{Filter, ListRequest};
use crate::live::{Access, Ask, Follow, Followed, Form, Matches, Opening, Snapshot, Streaming};
use crate::page::Page;
use crate::read::table::Find;
use crate::read::{Read, View};
use crate::wait::Wait;

mod page;

pub(super) use page::PageList;

const EVENT_STREAM: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The header that live updates understand, for the API's description. The code reads it directly.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) struct LiveHeaders {
    /// With `Accept: text/event-stream`: the id of the last event that the client has. The stream
    /// goes on behind it, or says in an event `reset` why it cannot, and begins again.
    #[param(rename = "Last-Event-ID", required = false, nullable = false)]
    last_event_id: Option<String>,
}

/// A request for live updates.
pub(super) struct LiveRequest {
    client: RateKey,
    /// The path, with its version, and the query.
    request: String,
    /// The credentials, to be checked again.
    credentials: HeaderMap,
    last_event_id: Option<String>,
    /// Whether the client takes a single answer, too.
    takes_json: bool,
}

impl LiveRequest {
    /// The request for live updates, if this is one.
    pub(super) fn of(parts: &Parts) -> Result<Option<Self>, Problem> {
        let headers = &parts.headers;
        let ranges = MediaRanges::of(headers).filter(wants_events);
        let Some(ranges) = ranges else { return Ok(None) };
        let client = client(parts)?;
        let credentials = headers.get(AUTHORIZATION).cloned();
        let credentials = credentials.map(|value| (AUTHORIZATION, value)).into_iter().collect();
        let last_event_id = headers.get(LAST_EVENT_ID).map(|id| {
            // An id with other characters is none of ours.
            id.to_str().unwrap_or_default().to_owned()
        });
        let last_event_id = last_event_id.filter(|id| !id.is_empty());
        // The router cuts off the prefix under which a version is mounted.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let (request, takes_json) = (uri.to_string(), ranges.weight("application/json") > 0);
        Ok(Some(Self { client, request, credentials, last_event_id, takes_json }))
    }
}

/// The client whose requests are counted: the user, or the address without one.
pub(super) fn client(parts: &Parts) -> Result<RateKey, Problem> {
    let Some(Counted(client)) = parts.extensions.get::<Counted>().copied() else {
        tracing::error!("a route counts no requests");
        return Err(Problem::internal());
    };
    Ok(client)
}

/// Whether the client names the media type of events. `*/*` asks for JSON.
fn wants_events(ranges: &MediaRanges) -> bool {
    ranges.names(EVENT_STREAM) && ranges.weight(EVENT_STREAM) > 0
}

/// Refuses live updates of something that has none, unless the client also accepts a single answer.
/// `why` is for people.
///
/// # Errors
/// 406.
pub(super) fn refuse(live: Option<&LiveRequest>, why: &str) -> Result<(), Problem> {
    if live.is_none_or(|live| live.takes_json) {
        return Ok(());
    }
    let title = "There are no live updates of this";
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "no-live-updates", title)
        .detail(format!("{why}: ask for it without `Accept: text/event-stream`")))
}

/// Refuses parameters that no live updates can have.
///
/// # Errors
/// 422.
pub(super) fn refuse_with(given: &[(&'static str, bool)]) -> Result<(), Problem> {
    let contradicts = |(pointer, _): &(&'static str, bool)| {
        FieldError::new(*pointer, "contradicts-accept", "live updates have no such parameter")
    };
    let errors: Vec<_> = given.iter().filter(|(_, is_given)| *is_given).map(contradicts).collect();
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

impl Api {
    /// Follows one row. `body` makes the form that clients see.
    pub(super) async fn follow_row<R: Followed, B: Serialize + 'static>(
        &self,
        live: LiveRequest,
        request: RowRequest,
        (permission, scope): (Permission, Scope),
        body: fn(R) -> B,
    ) -> Result<Response, Problem> {
        let (id, wait) = (request.id, request.wait());
        let ask = self.ask_row(id, scope);
        let followed = (Follow::Row(id), Form::new(body));
        self.follow(live, followed, ask, (permission, scope), wait).await
    }

    /// How a stream of one row reads its snapshot.
    pub(crate) fn ask_row<R: Followed>(&self, id: Uuid, scope: Scope) -> Ask<R> {
        let api = self.clone();
        Arc::new(move |wait| {
            let api = api.clone();
            async move {
                let view = api.ask(Find::<R>::new(id, scope), wait).await?;
                let row = view.data.ok_or_else(Problem::not_found)?;
                Ok(Snapshot { rows: vec![row], seen: view.seen, page: None })
            }
            .boxed()
        })
    }

    /// How a stream of a list reads its snapshot. `page` tells what follows the page.
    pub(crate) fn ask_list<R, Q>(
        &self,
        question: Q,
        page: impl Fn(&Api, &Page<R>) -> PageInfo + Send + Sync + 'static,
    ) -> Ask<R>
    where
        R: Followed,
        Q: Read<Answer = Page<R>> + Clone,
    {
        let (api, page) = (self.clone(), Arc::new(page));
        Arc::new(move |wait| {
            let (api, page, question) = (api.clone(), Arc::clone(&page), question.clone());
            async move {
                let view: View<Page<R>> = api.ask(question, wait).await?;
                let page = Some(page(&api, &view.data));
                Ok(Snapshot { rows: view.data.rows, seen: view.seen, page })
            }
            .boxed()
        })
    }

    /// Follows a list.
    pub(super) async fn follow_list<R: Followed, F, B, Q>(
        &self,
        live: LiveRequest,
        request: ListRequest<F>,
        list: LiveList<R, F, B, Q>,
        (permission, scope): (Permission, Scope),
    ) -> Result<Response, Problem>
    where
        F: Filter + Sync + 'static,
        B: Serialize + 'static,
        Q: Read<Answer = Page<R>> + Clone,
    {
        let LiveList { owner, matches, question, key, body } = list;
        let followed = (Follow::list(scope, owner, matches), Form::new(body));
        let wait = request.wait;
        let ask = self.ask_list(question, move |api, page| request.page(api, page, key));
        self.follow(live, followed, ask, (permission, scope), wait).await
    }

    async fn follow<R: Followed>(
        &self,
        live: LiveRequest,
        (follow, form): (Follow<R>, Form<R>),
        ask: Ask<R>,
        (permission, scope): (Permission, Scope),
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let LiveRequest { client, credentials, last_event_id, .. } = live;
        let place = self.live.take(client)?;
        let access = self.still_allowed(credentials, (permission, scope));
        let opening = Opening { place, follow, form, ask, access, last_event_id, wait };
        let stream = Streaming::open(&self.live, &self.reader, opening).await?;
        Ok(events(Body::from_stream(stream.chunks())))
    }

    /// Checks whether somebody with these credentials may still see this scope.
    pub(crate) fn still_allowed(
        &self,
        credentials: HeaderMap,
        (permission, scope): (Permission, Scope),
    ) -> Access {
        let api = self.clone();
        Box::new(move || {
            let caller = api.gate.caller(&credentials)?;
            let now = api.scope(&caller, permission)?;
            // The stream was opened for other rows.
            if now == scope { Ok(()) } else { Err(Problem::not_found()) }
        })
    }
}

/// The answer with a stream of events.
fn events(body: Body) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(BUFFERING, HeaderValue::from_static("no"));
    headers.append(VARY, HeaderValue::from_static("accept, authorization"));
    response
}

/// A list to follow.
pub(super) struct LiveList<R, F: Filter, B, Q> {
    /// Only rows of this user.
    pub(super) owner: Option<Uuid>,
    /// Only rows that match; all rows do without it.
    pub(super) matches: Option<Matches<R>>,
    /// The question for the page that the client begins with.
    pub(super) question: Q,
    /// The sort key of a row.
    pub(super) key: fn(&R, F::Sort) -> Value,
    /// Makes the visible form of a row.
    pub(super) body: fn(R) -> B,
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;

    use super::*;

    #[test]
    fn events_are_sent_to_those_who_name_them() {
        for (accept, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; q=0.5, application/json", true),
            ("application/json, text/event-stream", true),
            ("text/event-stream;q=0", false),
            ("text/*", false),
            ("*/*", false),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            let ranges = MediaRanges::of(&headers);
            assert_eq!(ranges.is_some_and(|ranges| wants_events(&ranges)), expected, "{accept}");
        }
    }
}
