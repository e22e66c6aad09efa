//! Lists whose rows are computed from many others: sums, and customers at risk. Their rows have no
//! position, so a client follows the page that the same request answers with.
//!
//! The page is read again after its projection has moved on, at most once a second, and once for
//! all clients that ask for the same. Each client gets the rows that differ from those that it has,
//! and `complete` behind them. A client that reads slowly skips states, so nothing waits for it.
//!
//! No table keeps what such a page was earlier. A client that comes back gets a new snapshot,
//! unless the page is still as it knows it: the id of `complete` names a digest of the page.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use service_kit::{PageInfo, Problem};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use super::frame::{Place, State};
use super::step::state_at;
use crate::read::Seen;
use crate::wait::Wait;

/// The least time between two reads of the same page.
pub(super) const PAGE_EVERY: Duration = Duration::from_secs(1);

/// The last read of a page, which its clients share.
pub(super) type LastRead<B> = tokio::sync::Mutex<Option<(Instant, Arc<PageState<B>>)>>;

/// Reads a page.
pub(crate) type AskPage<B> =
    Arc<dyn Fn(Option<Wait>) -> BoxFuture<'static, Result<PageState<B>, Problem>> + Send + Sync>;

/// The pages that are followed, by the form of their rows and the request for them.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<HashMap<(TypeId, String), Weak<dyn Any + Send + Sync>>>);

/// A page as it was read. `B` is the form in which clients see its rows.
#[derive(Debug)]
pub(crate) struct PageState<B> {
    pub(super) rows: Vec<Arc<PageRow<B>>>,
    pub(super) seen: Seen,
    pub(super) page: PageInfo,
    digest: Uuid,
}

/// A row of a page.
#[derive(Debug)]
pub(crate) struct PageRow<B> {
    /// The fields that tell it from other rows.
    pub(super) key: Value,
    /// The row as clients see it.
    pub(crate) body: B,
}

impl Pages {
    /// What the clients of a page share. It is dropped with the last of them.
    pub(super) fn of<B: Send + Sync + 'static>(&self, request: &str) -> Arc<LastRead<B>> {
        let name = (TypeId::of::<B>(), request.to_owned());
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = pages.get(&name).and_then(Weak::upgrade);
        // The type is part of the name.
        if let Some(page) = known.and_then(|page| page.downcast().ok()) {
            return page;
        }
        pages.retain(|_, page| page.strong_count() > 0);
        let page = Arc::<LastRead<B>>::default();
        let shared: Arc<dyn Any + Send + Sync> = page.clone();
        pages.insert(name, Arc::downgrade(&shared));
        page
    }
}

impl<B: Serialize + PartialEq> PageState<B> {
    /// A page of these rows. What `key` returns tells a row from others.
    ///
    /// # Errors
    /// A row cannot be written as JSON.
    pub(crate) fn new(
        rows: Vec<B>,
        key: impl Fn(&B) -> Value,
        (seen, page): (Seen, PageInfo),
    ) -> Result<Self, serde_json::Error> {
        let row = |body: B| Arc::new(PageRow { key: key(&body), body });
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        let mut hasher = Sha256::new();
        for row in &rows {
            hasher.update(serde_json::to_vec(&row.body)?);
        }
        hasher.update(serde_json::to_vec(&(&page, seen.stale))?);
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize()[..16]);
        Ok(Self { rows, seen, page, digest: Uuid::from_bytes(digest) })
    }

    /// The state of the tables that it shows.
    pub(super) fn state(&self) -> State {
        state_at(&self.seen)
    }

    /// The id of the event that says that it is complete.
    pub(super) fn id(&self) -> String {
        self.state().id_at(Place { position: self.seen.position, id: self.digest })
    }

    /// Whether it shows what the page with this id showed.
    pub(super) fn is(&self, id: &State) -> bool {
        self.state().is_of(id) && id.place.id == self.digest
    }

    /// The rows that are not in the other page as they are here.
    pub(super) fn rows_beyond<'s>(
        &'s self,
        other: &'s Self,
    ) -> impl Iterator<Item = &'s Arc<PageRow<B>>> {
        let known: HashMap<String, &B> =
            other.rows.iter().map(|row| (row.key.to_string(), &row.body)).collect();
        let is_new = move |row: &&Arc<PageRow<B>>| {
            known.get(&row.key.to_string()).is_none_or(|body| **body != row.body)
        };
        self.rows.iter().filter(is_new)
    }

    /// The rows of the other page whose keys are not here.
    pub(super) fn rows_gone<'s>(
        &'s self,
        other: &'s Self,
    ) -> impl Iterator<Item = &'s Arc<PageRow<B>>> {
        let is_here = |row: &PageRow<B>| self.rows.iter().any(|here| here.key == row.key);
        other.rows.iter().filter(move |row| !is_here(row))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn page(rows: &[(&str, i64)]) -> PageState<Value> {
        let seen = Seen {
            epoch: None,
            position: 1,
            stale: false,
            any_stale: false,
            lag: None,
            generations: vec![1],
        };
        let page = PageInfo {
            page: None,
            page_size: 20,
            total_pages: None,
            total_items: None,
            next_cursor: None,
            has_more: false,
        };
        let rows = rows.iter().map(|(day, orders)| json!({"day": day, "orders": orders}));
        PageState::new(rows.collect(), |row| row["day"].clone(), (seen, page)).unwrap()
    }

    #[test]
    fn the_rows_that_differ_are_found_by_their_keys() {
        let (before, now) = (page(&[("1", 5), ("2", 6)]), page(&[("2", 7), ("3", 8)]));
        let days = |rows: Vec<&Arc<PageRow<Value>>>| -> Vec<String> {
            rows.iter().map(|row| row.key.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(days(now.rows_beyond(&before).collect()), ["2", "3"]);
        assert_eq!(days(now.rows_gone(&before).collect()), ["1"]);
        assert_eq!(now.rows_beyond(&now).count(), 0);
        let id = State::parse(&now.id()).unwrap();
        assert!(now.is(&id) && page(&[("2", 7), ("3", 8)]).is(&id) && !before.is(&id));
    }
}
