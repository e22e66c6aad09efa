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
use async_graphql::{Context, Enum, Error, ID, MergedSubscription, Object, Result, SimpleObject};
use axum::http::HeaderMap;
use futures::stream::{BoxStream, StreamExt as _, unfold};
use service_kit::http::{REQUEST_DEADLINE, RateKey};
use service_kit::input::Id;
use service_kit::{PageInfo, Problem};
use tokio::time::timeout;

use super::failure::{ended, error};
use super::order::Order;
use super::product::Product;
use super::user::User;
use crate::http::Api;
use crate::live::{Ask, Event, Follow, Followed, Form, Kind, Opening, Streaming};
use crate::read::order::OrderRow;
use crate::read::product::ProductRow;
use crate::read::user::UserRow;
use crate::wait::{Wait, WaitParams};

mod order;
mod product;
mod resolve;
mod user;

pub(super) use resolve::{Again, Events};

/// The things that can be followed.
#[derive(MergedSubscription, Default)]
pub(super) struct Subscription(
    // One line each.
    order::OrderSubscription,
    product::ProductSubscription,
    user::UserSubscription,
);

/// What an event of a subscription says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "LiveEventKind", remote = "Kind")]
enum LiveEventKind {
    /// A row as it is now, of the snapshot that a subscription begins with.
    Row,
    /// The snapshot is complete.
    Complete,
    /// A row changed.
    Changed,
    /// A row lacks events from now on.
    Stale,
    /// The personal data of a row were erased.
    Erased,
    /// A row left the list.
    Left,
    /// What the client missed is complete.
    Resumed,
    /// What the client has does not count any more. A new snapshot follows.
    Reset,
}

/// Why a client has to begin again.
#[derive(SimpleObject)]
struct LiveReason {
    /// The reason, for programs.
    code: String,
    /// The reason, for people.
    detail: String,
}

/// What follows the page that a subscription to a list begins with.
#[derive(SimpleObject)]
struct LivePage {
    /// Whether the list goes on.
    has_next_page: bool,
    /// If so, the cursor with which a query of the same list goes on.
    end_cursor: Option<String>,
}

impl LivePage {
    fn of(page: &PageInfo) -> Self {
        Self { has_next_page: page.has_more, end_cursor: page.next_cursor.clone() }
    }
}

macro_rules! events {
    ($(
        $(#[doc = $doc:literal])+
        $Event:ident of $Row:ident {
            $(#[doc = $node_doc:literal])+
            $node:ident: $Node:ident
        }
    )+) => {
        $(
            $(#[doc = $doc])+
            struct $Event(Arc<Event<$Row>>);

            impl From<Arc<Event<$Row>>> for $Event {
                fn from(event: Arc<Event<$Row>>) -> Self {
                    Self(event)
                }
            }

            $(#[doc = $doc])+
            #[Object]
            impl $Event {
                /// What it says.
                async fn event(&self) -> LiveEventKind {
                    self.0.kind.into()
                }

                /// The id with which a client goes on behind this event: hand it to `lastEventId`.
                /// Null if it cannot, which it then does behind the one before.
                async fn id(&self) -> Option<&str> {
                    self.0.id.as_deref()
                }

                /// The position of the log up to which the client is complete with this event.
                async fn position(&self) -> Option<i64> {
                    self.0.meta.as_ref().map(|meta| meta.position)
                }

                /// The history that the position belongs to. Null before the first event.
                async fn epoch(&self) -> Option<ID> {
                    self.0.meta.as_ref().and_then(|meta| meta.epoch).map(ID::from)
                }

                /// Whether the row, or one of the snapshot, lacks events.
                async fn stale(&self) -> bool {
                    self.0.meta.as_ref().and_then(|meta| meta.stale).unwrap_or(false)
                }

                $(#[doc = $node_doc])+
                async fn $node(&self) -> Option<$Node> {
                    self.0.row.clone().map($Node)
                }

                /// The id of the row that left the list.
                async fn left(&self) -> Option<ID> {
                    self.0.left.map(ID::from)
                }

                /// What follows the page of the snapshot, once it is complete.
                async fn page(&self) -> Option<LivePage> {
                    self.0.meta.as_ref().and_then(|meta| meta.page.as_ref()).map(LivePage::of)
                }

                /// Why the client has to begin again.
                async fn reason(&self) -> Option<LiveReason> {
                    let reason = self.0.reason.as_ref()?;
                    Some(LiveReason { code: reason.code.clone(), detail: reason.detail.clone() })
                }
            }
        )+
    };
}

events! {
    /// An event of orders that are followed.
    OrderEvent of OrderRow {
        /// The order as it is now.
        order: Order
    }
    /// An event of products that are followed.
    ProductEvent of ProductRow {
        /// The product as it is now.
        product: Product
    }
    /// An event of users that are followed.
    UserEvent of UserRow {
        /// The user as they are now.
        user: User
    }
}

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
        let opened = timeout(REQUEST_DEADLINE, self.open(followed, allowed, start)).await;
        let late = || {
            Problem::unavailable("live-unavailable", "The subscription did not begin in time", 1)
        };
        let stream = opened.unwrap_or_else(|_| Err(late()));
        let stream = stream.map_err(|problem| self.failure(&problem))?;
        let (again, request_id) = (Arc::clone(&self.again), self.request_id.clone());
        let events = Box::pin(stream.events());
        let events = unfold((events, None), move |(mut events, last)| {
            let again = Arc::clone(&again);
            async move {
                let event = match last {
                    // What lies below it could not be loaded, and may be now.
                    Some(event) if again.takes() => Ok(event),
                    _ => events.next().await?,
                };
                let last: Option<Arc<Event<R>>> = event.as_ref().ok().map(Arc::clone);
                Some((event, (events, last)))
            }
        });
        let event = move |event: std::result::Result<Arc<Event<R>>, _>| {
            event.map(E::from).map_err(|reason| ended(&reason, &request_id))
        };
        Ok(events.map(event).boxed())
    }

    async fn open<R: Followed>(
        &self,
        (follow, ask): (Follow<R>, Ask<R>),
        allowed: (Permission, Scope),
        Start { last_event_id, consistency_token }: Start,
    ) -> std::result::Result<Streaming<R>, Problem> {
        let Self { api, credentials, client, .. } = self;
        let params = WaitParams { consistency_token };
        let wait = Wait::of(&HeaderMap::new(), &params, &api.token_key)?;
        let place = api.live.take(*client)?;
        let access = api.still_allowed(credentials.clone(), allowed);
        let form = Form::Values;
        let opening = Opening { place, follow, form, ask, access, last_event_id, wait };
        Streaming::open(&api.live, &api.reader, opening).await
    }
}
