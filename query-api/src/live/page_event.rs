//! What a stream of a page says: as a value, which GraphQL makes its answers of, and as the text of
//! server-sent events.

use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;

use super::frame::{self, Kind, Meta, Reason};
use super::page::PageRow;

/// An event of a page. `B` is the form in which clients see its rows.
#[derive(Debug)]
pub(crate) struct PageEvent<B> {
    pub(crate) kind: Kind,
    /// The id with which a client that comes back asks whether the page is still the same.
    pub(crate) id: Option<String>,
    /// The row as it is now.
    pub(crate) row: Option<Arc<PageRow<B>>>,
    /// The row that left, as it was.
    pub(crate) left: Option<Arc<PageRow<B>>>,
    pub(crate) meta: Option<Meta>,
    /// Why the client has to begin again.
    pub(crate) reason: Option<Reason>,
}

/// What a stream says.
#[derive(Debug)]
pub(super) enum PageOutput<B> {
    Event(PageEvent<B>),
    /// A sign of life.
    Alive,
    /// The end, and its reason.
    End(Reason),
}

impl<B> PageEvent<B> {
    /// An event without anything else.
    pub(super) const fn new(kind: Kind) -> Self {
        Self { kind, id: None, row: None, left: None, meta: None, reason: None }
    }
}

impl<B: Serialize> PageOutput<B> {
    /// The text of a server-sent event. `None` if it cannot be written, which is logged.
    pub(super) fn text(&self) -> Option<Bytes> {
        let event = match self {
            Self::Alive => return Some(frame::heartbeat(None)),
            Self::End(reason) => return Some(frame::end(reason)),
            Self::Event(PageEvent { reason: Some(reason), .. }) => {
                return Some(frame::reset(reason));
            }
            Self::Event(event) => event,
        };
        let (kind, id, meta) = (event.kind, event.id.as_deref(), event.meta.as_ref()?);
        let written = match (&event.row, &event.left) {
            (Some(row), _) => frame::event(kind, id, Some(&row.body), meta),
            (None, Some(row)) => frame::event(kind, id, Some(&row.key), meta),
            (None, None) => frame::event::<()>(kind, id, None, meta),
        };
        written.inspect_err(|error| tracing::error!(%error, "a row cannot be written as JSON")).ok()
    }
}
