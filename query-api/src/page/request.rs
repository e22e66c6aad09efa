//! Which page of a list is read: where it starts, in which order, how much of it.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// How many rows a page has unless another size is asked for.
pub const DEFAULT_SIZE: u32 = 20;
/// The most rows of a page.
pub const MAX_SIZE: u32 = 100;
/// Numbered pages end here: a deep one reads all rows before it. Cursors go on for ever.
pub const MAX_NUMBERED_ROWS: i64 = 100_000;

/// Whether the page with this number can be asked for, in pages of this size.
pub fn is_numbered(page: i64, size: u32) -> bool {
    page.checked_mul(size.into()).is_some_and(|rows| rows <= MAX_NUMBERED_ROWS)
}

/// Which page of a list is read.
#[derive(Debug, Clone)]
pub struct PageRequest<S> {
    /// In which order.
    pub sort: S,
    /// Where it starts.
    pub start: PageStart,
    /// How many rows at most.
    pub size: u32,
}

/// Where a page of a list starts.
#[derive(Debug, Clone, PartialEq)]
pub enum PageStart {
    /// At the beginning.
    First,
    /// Behind the row with this key (the sort's columns and the row's own key, as a JSON array).
    After(Value),
    /// At the page with this number, from 1; then all rows are counted too.
    Page(u32),
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
    /// How many rows there are in all, if they were counted.
    pub total: Option<i64>,
}

impl<S> PageRequest<S> {
    /// One row more than is shown is read, to know whether more follow.
    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    pub(crate) fn offset(&self) -> i64 {
        match self.start {
            PageStart::Page(page) => i64::from(page.saturating_sub(1)) * i64::from(self.size),
            PageStart::First | PageStart::After(_) => 0,
        }
    }

    pub(crate) fn counts(&self) -> bool {
        matches!(self.start, PageStart::Page(_))
    }

    /// The key that the rows come behind: both columns, or neither.
    pub(crate) fn after<A: DeserializeOwned, B: DeserializeOwned>(
        &self,
    ) -> Result<(Option<A>, Option<B>), sqlx::Error> {
        let PageStart::After(key) = &self.start else { return Ok((None, None)) };
        let (first, second) = serde_json::from_value(key.clone())
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        Ok((Some(first), Some(second)))
    }

    pub(crate) fn page<T>(&self, mut rows: Vec<T>, total: Option<i64>) -> Page<T> {
        let size = self.size as usize;
        let has_more = rows.len() > size;
        rows.truncate(size);
        Page { rows, has_more, total }
    }
}
