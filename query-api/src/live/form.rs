//! The form in which clients get the rows that they follow: as the text of server-sent events, one
//! form for each version of the API, or as values, which GraphQL makes its answers of.
//!
//! Everything else about a stream is the same in all forms.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::frame::{self, Kind, Left, Meta, Reason};
use super::row::Followed;

type Write<R> =
    dyn Fn(Kind, Option<&str>, R, &Meta) -> Result<Bytes, serde_json::Error> + Send + Sync;

/// How the rows of a stream are shown. Clones share it.
pub(crate) enum Form<R> {
    /// As the text of server-sent events.
    Text(Text<R>),
    /// As values.
    Values,
}

/// A visible form of rows as text.
pub(crate) struct Text<R> {
    shown: TypeId,
    write: Arc<Write<R>>,
}

/// One event of a stream, in the form of its client. Clones share it.
#[derive(Debug)]
pub(crate) enum Output<R> {
    /// Text of server-sent events.
    Text(Bytes),
    /// An event as a value.
    Event(Arc<Event<R>>),
    /// The end of a stream of values, and its reason.
    End(Reason),
}

/// An event as a value.
#[derive(Debug)]
pub(crate) struct Event<R> {
    pub(crate) kind: Kind,
    /// The id with which a client resumes behind this event.
    pub(crate) id: Option<String>,
    pub(crate) row: Option<Arc<R>>,
    /// The id of the row that left.
    pub(crate) left: Option<Uuid>,
    pub(crate) meta: Option<Meta>,
    /// Why the client has to begin again.
    pub(crate) reason: Option<Reason>,
    /// About how much memory it takes, in bytes.
    bytes: usize,
}

impl<R> Output<R> {
    /// How much it counts in a client's queue, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Event(event) => event.bytes,
            Self::End(_) => 0,
        }
    }
}

impl<R> Clone for Output<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.clone()),
            Self::Event(event) => Self::Event(Arc::clone(event)),
            Self::End(reason) => Self::End(reason.clone()),
        }
    }
}

impl<R> Event<R> {
    fn new(kind: Kind, id: Option<&str>) -> Self {
        let (id, bytes) = (id.map(str::to_owned), size_of::<Self>());
        Self { kind, id, row: None, left: None, meta: None, reason: None, bytes }
    }

    fn output(self) -> Output<R> {
        Output::Event(Arc::new(self))
    }
}

impl<R: Followed> Form<R> {
    /// The text form that `body` makes. Two forms of a row have different types.
    pub(crate) fn new<B: Serialize + 'static>(body: fn(R) -> B) -> Self {
        let write = move |kind: Kind, id: Option<&str>, row: R, meta: &Meta| {
            frame::event(kind, id, Some(&body(row)), meta)
        };
        Self::Text(Text { shown: TypeId::of::<B>(), write: Arc::new(write) })
    }

    /// The type of the visible form, by which clients with the same form are known.
    pub(super) fn shown(&self) -> TypeId {
        match self {
            Self::Text(text) => text.shown,
            Self::Values => TypeId::of::<Event<R>>(),
        }
    }

    pub(super) const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// What a stream begins with.
    pub(super) fn beginning(&self) -> Option<Output<R>> {
        self.is_text().then(|| Output::Text(Bytes::from_static(frame::RETRY.as_bytes())))
    }

    /// An event with a row.
    pub(super) fn row(
        &self,
        kind: Kind,
        id: Option<&str>,
        row: R,
        meta: Meta,
    ) -> Option<Output<R>> {
        match self {
            Self::Text(text) => written((text.write)(kind, id, row, &meta)),
            Self::Values => {
                let (event, bytes) = (Event::new(kind, id), row.bytes());
                let bytes = event.bytes + bytes;
                let row = Some(Arc::new(row));
                Some(Event { row, meta: Some(meta), bytes, ..event }.output())
            }
        }
    }

    /// The event that says that a row left.
    pub(super) fn left(&self, id: &str, left: Uuid, meta: Meta) -> Option<Output<R>> {
        if self.is_text() {
            return written(frame::event(Kind::Left, Some(id), Some(&Left { id: left }), &meta));
        }
        let event = Event::new(Kind::Left, Some(id));
        Some(Event { left: Some(left), meta: Some(meta), ..event }.output())
    }

    /// The event that says that the client is complete up to a position.
    pub(super) fn complete(&self, kind: Kind, id: &str, meta: Meta) -> Option<Output<R>> {
        if self.is_text() {
            return written(frame::event::<()>(kind, Some(id), None, &meta));
        }
        Some(Event { meta: Some(meta), ..Event::new(kind, Some(id)) }.output())
    }

    /// The event that says why the client has to begin again.
    pub(super) fn reset(&self, reason: Reason) -> Output<R> {
        if self.is_text() {
            return Output::Text(frame::reset(&reason));
        }
        Event { reason: Some(reason), ..Event::new(Kind::Reset, None) }.output()
    }

    /// The end of a stream.
    pub(super) fn end(&self, reason: Reason) -> Output<R> {
        if self.is_text() { Output::Text(frame::end(&reason)) } else { Output::End(reason) }
    }

    /// A sign of life. Clients who get values have one of their connection.
    pub(super) fn heartbeat(&self, id: Option<&str>) -> Option<Output<R>> {
        self.is_text().then(|| Output::Text(frame::heartbeat(id)))
    }
}

fn written<R>(text: Result<Bytes, serde_json::Error>) -> Option<Output<R>> {
    let text = text.inspect_err(|error| tracing::error!(%error, "a row cannot be written as JSON"));
    text.ok().map(Output::Text)
}

impl<R> Clone for Form<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Text(Text { shown, write }) => {
                Self::Text(Text { shown: *shown, write: Arc::clone(write) })
            }
            Self::Values => Self::Values,
        }
    }
}

impl<R> fmt::Debug for Form<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(Text { shown, .. }) => f.debug_tuple("Text").field(shown).finish(),
            Self::Values => f.write_str("Values"),
        }
    }
}
