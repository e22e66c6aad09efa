//! The form in which clients see the rows that they follow. Each version of the API has its own.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use axum::body::Bytes;
use serde::Serialize;

use super::frame::{self, Meta};

type Write<R> =
    dyn Fn(&str, Option<&str>, R, &Meta) -> Result<Bytes, serde_json::Error> + Send + Sync;

/// How the rows of a stream are shown. Clones share it.
pub(crate) struct Form<R> {
    shown: TypeId,
    write: Arc<Write<R>>,
}

impl<R: 'static> Form<R> {
    /// The form that `body` makes. Two forms of a row have different types.
    pub(crate) fn new<B: Serialize + 'static>(body: fn(R) -> B) -> Self {
        let write = move |name: &str, id: Option<&str>, row: R, meta: &Meta| {
            frame::event(name, id, Some(&body(row)), meta)
        };
        Self { shown: TypeId::of::<B>(), write: Arc::new(write) }
    }

    /// The type of the visible form. It identifies clients with the same form.
    pub(super) const fn shown(&self) -> TypeId {
        self.shown
    }

    /// An event with a row.
    pub(super) fn event(
        &self,
        name: &str,
        id: Option<&str>,
        row: R,
        meta: &Meta,
    ) -> Result<Bytes, serde_json::Error> {
        (self.write)(name, id, row, meta)
    }
}

impl<R> Clone for Form<R> {
    fn clone(&self) -> Self {
        Self { shown: self.shown, write: Arc::clone(&self.write) }
    }
}

impl<R> fmt::Debug for Form<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("shown", &self.shown).finish_non_exhaustive()
    }
}
