//! The page of a list to read: where it starts, its sort and its size.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CursorError;

/// The default number of rows on a page.
pub const DEFAULT_SIZE: u32 = 20;
/// The maximum number of rows on a page.
pub const MAX_SIZE: u32 = 100;
/// The last row that numbered pages reach. A page deep in a list has to read all rows before it.
/// Cursors have no such limit.
pub const MAX_NUMBERED_ROWS: i64 = 100_000;

/// Whether the page with this number may be requested, in pages of this size.
pub fn is_numbered(page: i64, size: u32) -> bool {
    page.checked_mul(size.into()).is_some_and(|rows| rows <= MAX_NUMBERED_ROWS)
}

/// A request for one page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageRequest<S> {
    /// The sort of the list.
    pub sort: S,
    /// The start of the page.
    pub start: PageStart,
    /// The maximum number of rows.
    pub size: u32,
}

/// The start of a page in a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PageStart {
    /// The beginning of the list.
    First,
    /// After the row with this key: the sort's columns and the row's own key, as a JSON array.
    After(Value),
    /// The page with this number, from 1. All rows are then counted too.
    Page(u32),
}

/// A page of a list, as it was read.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows of the page.
    pub rows: Vec<T>,
    /// Whether more rows follow.
    pub has_more: bool,
    /// The number of rows in the whole list, if they were counted.
    pub total: Option<i64>,
}

impl<S> PageRequest<S> {
    /// The number of rows to read: one more than is shown, to know whether more follow.
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

    /// The two key columns that the page starts after, or `None` for both.
    pub(crate) fn after<A: DeserializeOwned, B: DeserializeOwned>(
        &self,
    ) -> Result<(Option<A>, Option<B>), sqlx::Error> {
        let PageStart::After(key) = &self.start else { return Ok((None, None)) };
        // Another version of this list may have signed another sort key.
        let (first, second) = serde_json::from_value(key.clone())
            .map_err(|_| sqlx::Error::Encode(CursorError::OtherVersion.into()))?;
        Ok((Some(first), Some(second)))
    }

    pub(crate) fn page<T>(&self, mut rows: Vec<T>, total: Option<i64>) -> Page<T> {
        let size = self.size as usize;
        let has_more = rows.len() > size;
        rows.truncate(size);
        Page { rows, has_more, total }
    }
}
