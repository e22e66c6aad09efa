//! Subscriptions: the same live updates as the streams of server-sent events, as GraphQL.
//!
//! A field follows what the query of the same name answers with: first a snapshot, then each
//! change. An event has an id, with which a client goes on behind it. Why a subscription ends is an
//! error with a code.
//!
//! The row of an event comes from the hub, and costs no statement. What lies below it is loaded for
//! each event, in a snapshot of its own (`resolve`).

use std::sync::Arc;

use access::{Caller, Permission, Scope};
use async_graphql::{Context, Error, ID, MergedSubscription, Result};
use axum::http::HeaderMap;
use futures::stream::{BoxStream, Stream, StreamExt as _, unfold};
use serde::Serialize;
use service_kit::Problem;
use service_kit::http::{REQUEST_DEADLINE, RateKey};
use service_kit::input::Id;
use tokio::time::timeout;

use super::asked::Asked;
use super::failure::{ended, error};
use crate::http::Api;
use crate::live::{
    Ask, AskPage, Event, Follow, Followed, Form, Opening, PageEvent, PageOpening, PageStream,
    Reason, Streaming,
};
use crate::scope::Projection;

mod event;
mod order;
mod product;
mod resolve;
mod sales;
mod user;

use event::event;
pub(super) use resolve::{Again, Events};

/// The things that can be followed.
#[derive(MergedSubscription, Default)]
pub(super) struct Subscription(
    // One line each.
    order::OrderSubscription,
    product::ProductSubscription,
    sales::SalesSubscription,
    user::UserSubscription,
);

/// The events of a subscription.
type EventStream<E> = BoxStream<'static, Result<E>>;

/// Where a subscription begins: behind an event, and not before a position.
struct Start {
    last_event_id: Option<String>,
    consistency_token: Option<String>,
}

/// Who subscribed.
pub(super) struct Subscriber {
    pub(super) api: Api,
    pub(super) caller: Caller,
    /// The credentials, to be checked again.
    pub(super) credentials: HeaderMap,
    /// The client whose streams are counted.
    pub(super) client: RateKey,
    pub(super) request_id: String,
    /// What the request says about the position that the snapshot has to show.
    pub(super) asked: Asked,
    pub(super) again: Arc<Again>,
}

impl Subscriber {
    fn of<'c>(ctx: &Context<'c>) -> Result<&'c Self> {
        ctx.data::<Self>()
    }

    /// The rows that the caller may see with this permission.
    fn scope(&self, permission: Permission) -> Result<Scope> {
        self.api.scope(&self.caller, permission).map_err(|problem| self.failure(&problem))
    }

    /// The same for rows that belong to nobody.
    fn everything(&self, permission: Permission) -> Result<Scope> {
        self.api.everything(&self.caller, permission).map_err(|problem| self.failure(&problem))
    }

    fn failure(&self, problem: &Problem) -> Error {
        error(problem, &self.request_id)
    }

    /// Follows one row.
    async fn follow_row<R: Followed, E: From<Arc<Event<R>>> + 'static>(
        &self,
        id: &ID,
        allowed: (Permission, Scope),
        start: Start,
    ) -> Result<EventStream<E>> {
        // A text that is no id is that of nothing.
        let id = id.parse::<Id>().map_err(|_| self.failure(&Problem::not_found()))?.get();
        let ask = self.api.ask_row::<R>(id, allowed.1);
        self.follow((Follow::Row(id), ask), allowed, start).await
    }

    /// Follows rows, as long as the caller may see them.
    async fn follow<R: Followed, E: From<Arc<Event<R>>> + 'static>(
        &self,
        followed: (Follow<R>, Ask<R>),
        allowed: (Permission, Scope),
        start: Start,
    ) -> Result<EventStream<E>> {
        let stream = self.begun(self.open(followed, allowed, start)).await?;
        Ok(self.shown(stream.events()))
    }

    /// Follows the page of a list that belongs to nobody, as long as the caller may see it.
    /// `request` tells it from other pages with the same rows.
    async fn follow_page<B, E>(
        &self,
        (request, projection, ask): (String, Projection, AskPage<B>),
        permission: Permission,
        start: Start,
    ) -> Result<EventStream<E>>
    where
        B: Serialize + PartialEq + Send + Sync + 'static,
        E: From<Arc<PageEvent<B>>> + 'static,
    {
        let open = async {
            let Self { api, credentials, client, asked, .. } = self;
            let Start { last_event_id, consistency_token } = start;
            let wait = asked.or_argument(consistency_token.as_deref(), &api.token_key)?;
            let place = api.live.take(*client)?;
            let access = api.still_allowed(credentials.clone(), (permission, Scope::All));
            let opening =
                PageOpening { place, request, projection, ask, access, last_event_id, wait };
            PageStream::open(&api.live, &api.reader, opening).await
        };
        let stream = self.begun(open).await?;
        Ok(self.shown(stream.events()))
    }

    /// A stream that begins in time.
    async fn begun<S>(
        &self,
        opening: impl Future<Output = std::result::Result<S, Problem>>,
    ) -> Result<S> {
        let late = || {
            Problem::unavailable("live-unavailable", "The subscription did not begin in time", 1)
        };
        let opened = timeout(REQUEST_DEADLINE, opening).await.unwrap_or_else(|_| Err(late()));
        opened.map_err(|problem| self.failure(&problem))
    }

    /// The events of a stream, for the library to resolve.
    fn shown<T: Send + Sync + 'static, E: From<Arc<T>> + 'static>(
        &self,
        events: impl Stream<Item = std::result::Result<Arc<T>, Reason>> + Send + 'static,
    ) -> EventStream<E> {
        let (again, request_id) = (Arc::clone(&self.again), self.request_id.clone());
        let events = unfold((Box::pin(events), None), move |(mut events, last)| {
            let again = Arc::clone(&again);
            async move {
                let event = match last {
                    // What lies below it could not be loaded, and may be now.
                    Some(event) if again.takes() => Ok(event),
                    _ => events.next().await?,
                };
                let last: Option<Arc<T>> = event.as_ref().ok().map(Arc::clone);
                Some((event, (events, last)))
            }
        });
        let event = move |event: std::result::Result<Arc<T>, _>| {
            event.map(E::from).map_err(|reason| ended(&reason, &request_id))
        };
        events.map(event).boxed()
    }

    async fn open<R: Followed>(
        &self,
        (follow, ask): (Follow<R>, Ask<R>),
        allowed: (Permission, Scope),
        Start { last_event_id, consistency_token }: Start,
    ) -> std::result::Result<Streaming<R>, Problem> {
        let Self { api, credentials, client, asked, .. } = self;
        let wait = asked.or_argument(consistency_token.as_deref(), &api.token_key)?;
        let place = api.live.take(*client)?;
        let access = api.still_allowed(credentials.clone(), allowed);
        let form = Form::Values;
        let opening = Opening { place, follow, form, ask, access, last_event_id, wait };
        Streaming::open(&api.live, &api.reader, opening).await
    }
}
