//! Live updates over HTTP: the same paths as for single answers, with `Accept: text/event-stream`.

use std::sync::Arc;

use access::{Permission, Scope};
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, VARY};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use identity::rate::Counted;
use serde::Deserialize;
use serde_json::Value;
use service_kit::Problem;
use service_kit::http::RateKey;
use service_kit::input::MediaType;
use utoipa::IntoParams;
use uuid::Uuid;

use super::Api;
use super::answer::RowRequest;
use super::list::{Filter, ListRequest};
use super::wait::Wait;
use crate::live::{Access, Ask, Follow, Followed, Matches, Opening, Snapshot, Streaming};
use crate::page::Page;
use crate::read::table::Find;
use crate::read::{Read, View};

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

/// Whether a request asks for live updates, and what they need of it.
pub(super) struct Events(pub(super) Option<LiveRequest>);

/// A request for live updates.
pub(super) struct LiveRequest {
    client: RateKey,
    /// The path and query.
    request: String,
    /// The credentials, to be checked again.
    credentials: HeaderMap,
    last_event_id: Option<String>,
}

impl FromRequestParts<Api> for Events {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, Problem> {
        let headers = &parts.headers;
        if !wants_events(headers) {
            return Ok(Self(None));
        }
        let Some(Counted(client)) = parts.extensions.get::<Counted>().copied() else {
            tracing::error!("a route counts no requests");
            return Err(Problem::internal());
        };
        let credentials = headers.get(AUTHORIZATION).cloned();
        let credentials = credentials.map(|value| (AUTHORIZATION, value)).into_iter().collect();
        let last_event_id = headers.get(LAST_EVENT_ID).map(|id| {
            // An id with other characters is none of ours.
            id.to_str().unwrap_or_default().to_owned()
        });
        let last_event_id = last_event_id.filter(|id| !id.is_empty());
        let request = parts.uri.to_string();
        Ok(Self(Some(LiveRequest { client, request, credentials, last_event_id })))
    }
}

/// Whether the client names the media type of events. `*/*` asks for JSON.
fn wants_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|range| {
        MediaType::parse(range.trim()).is_some_and(|range| {
            let mut weights = range.parameters.iter().filter(|(name, _)| name == "q");
            let is_refused = |weight: &str| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0);
            range.essence == EVENT_STREAM && !weights.any(|(_, weight)| is_refused(weight))
        })
    })
}

impl Api {
    /// Follows one row.
    pub(super) async fn follow_row<R: Followed>(
        &self,
        live: LiveRequest,
        request: RowRequest,
        (permission, scope): (Permission, Scope),
    ) -> Result<Response, Problem> {
        let (id, wait, api) = (request.id, request.wait(), self.clone());
        let ask: Ask<R> = Arc::new(move |wait| {
            let api = api.clone();
            async move {
                let view = api.ask(Find::<R>::new(id, scope), wait).await?;
                let row = view.data.ok_or_else(Problem::not_found)?;
                Ok(Snapshot { rows: vec![row], seen: view.seen, page: None })
            }
            .boxed()
        });
        self.follow(live, Follow::Row(id), ask, (permission, scope), wait).await
    }

    /// Follows a list. `question` reads its page, `key` is a row's sort key.
    pub(super) async fn follow_list<R: Followed, F, Q>(
        &self,
        live: LiveRequest,
        request: ListRequest<F>,
        list: LiveList<R, F, Q>,
        (permission, scope): (Permission, Scope),
    ) -> Result<Response, Problem>
    where
        F: Filter + Sync + 'static,
        F::Sort: Send + Sync + 'static,
        Q: Read<Answer = Page<R>> + Clone,
    {
        let LiveList { follow, question, key } = list;
        let (wait, api) = (request.wait, self.clone());
        let request = Arc::new(request);
        let ask: Ask<R> = Arc::new(move |wait| {
            let (api, request, question) = (api.clone(), request.clone(), question.clone());
            async move {
                let view: View<Page<R>> = api.ask(question, wait).await?;
                let page = Some(request.page(&api, &view.data, key));
                Ok(Snapshot { rows: view.data.rows, seen: view.seen, page })
            }
            .boxed()
        });
        self.follow(live, follow, ask, (permission, scope), wait).await
    }

    async fn follow<R: Followed>(
        &self,
        live: LiveRequest,
        follow: Follow<R>,
        ask: Ask<R>,
        (permission, scope): (Permission, Scope),
        wait: Option<Wait>,
    ) -> Result<Response, Problem> {
        let LiveRequest { client, credentials, last_event_id, .. } = live;
        let place = self.live.take(client)?;
        let access = self.still_allowed(credentials, (permission, scope));
        let opening = Opening { place, follow, ask, access, last_event_id, wait };
        let stream = Streaming::open(&self.live, &self.reader, opening).await?;
        Ok(events(Body::from_stream(stream.chunks())))
    }

    /// Checks whether somebody with these credentials may still see this scope.
    fn still_allowed(
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
pub(super) struct LiveList<R, F: Filter, Q> {
    pub(super) follow: Follow<R>,
    /// The question for the page that the client begins with.
    pub(super) question: Q,
    /// The sort key of a row.
    pub(super) key: fn(&R, F::Sort) -> Value,
}

impl<R, F: Filter, Q> LiveList<R, F, Q> {
    /// The list of the rows of `scope` that belong to `owner`, if one is named, and that match.
    pub(super) fn new(
        (scope, owner): (Scope, Option<Uuid>),
        matches: Option<Matches<R>>,
        question: Q,
        key: fn(&R, F::Sort) -> Value,
    ) -> Self {
        let (visible, wanted) = (scope.owner(), owner);
        let follow = match (visible, wanted) {
            // Nothing of this owner is visible, and no row belongs to nobody's id.
            (Some(visible), Some(wanted)) if visible != wanted => {
                Follow::List { owner: Some(Uuid::nil()), matches }
            }
            (visible, wanted) => Follow::List { owner: visible.or(wanted), matches },
        };
        Self { follow, question, key }
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(wants_events(&headers), expected, "{accept}");
        }
        assert!(!wants_events(&HeaderMap::new()));
    }
}
