//! The events that subscriptions send: what all of them have.

use async_graphql::{Enum, SimpleObject};
use service_kit::PageInfo;

use crate::live::{Kind, Reason};

/// What an event of a subscription says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "LiveEventKind", remote = "Kind")]
pub(super) enum LiveEventKind {
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
pub(super) struct LiveReason {
    /// The reason, for programs.
    code: String,
    /// The reason, for people.
    detail: String,
}

impl From<&Reason> for LiveReason {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code.clone(), detail: reason.detail.clone() }
    }
}

/// What follows the page that a subscription to a list begins with.
#[derive(SimpleObject)]
pub(super) struct LivePage {
    /// Whether the list goes on.
    has_next_page: bool,
    /// If so, the cursor with which a query of the same list goes on.
    end_cursor: Option<String>,
}

impl LivePage {
    pub(super) fn of(page: &PageInfo) -> Self {
        Self { has_next_page: page.has_more, end_cursor: page.next_cursor.clone() }
    }
}

/// Declares the type of an event: what its row and what left are called, and how each is read from
/// what a stream sends.
macro_rules! event {
    (
        $(#[doc = $doc:literal])+
        $Event:ident of $Sent:ty {
            $(#[doc = $node_doc:literal])+
            $node:ident: $Node:ty = $read:expr,
            $(#[doc = $left_doc:literal])+
            left: $Left:ty = $read_left:expr,
        }
    ) => {
        $(#[doc = $doc])+
        pub(super) struct $Event(std::sync::Arc<$Sent>);

        impl From<std::sync::Arc<$Sent>> for $Event {
            fn from(event: std::sync::Arc<$Sent>) -> Self {
                Self(event)
            }
        }

        $(#[doc = $doc])+
        #[async_graphql::Object]
        impl $Event {
            /// What it says.
            async fn event(&self) -> $crate::graphql::subscription::event::LiveEventKind {
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
            async fn epoch(&self) -> Option<async_graphql::ID> {
                self.0.meta.as_ref().and_then(|meta| meta.epoch).map(async_graphql::ID::from)
            }

            /// Whether the row, or one of the snapshot, lacks events.
            async fn stale(&self) -> bool {
                self.0.meta.as_ref().and_then(|meta| meta.stale).unwrap_or(false)
            }

            $(#[doc = $node_doc])+
            async fn $node(&self) -> Option<$Node> {
                let read: fn(&$Sent) -> Option<$Node> = $read;
                read(&self.0)
            }

            $(#[doc = $left_doc])+
            async fn left(&self) -> Option<$Left> {
                let read: fn(&$Sent) -> Option<$Left> = $read_left;
                read(&self.0)
            }

            /// What follows the page of the snapshot, once it is complete.
            async fn page(&self) -> Option<$crate::graphql::subscription::event::LivePage> {
                let page = self.0.meta.as_ref()?.page.as_ref()?;
                Some($crate::graphql::subscription::event::LivePage::of(page))
            }

            /// Why the client has to begin again.
            async fn reason(&self) -> Option<$crate::graphql::subscription::event::LiveReason> {
                self.0.reason.as_ref().map(Into::into)
            }
        }
    };
}
pub(super) use event;
