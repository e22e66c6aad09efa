//! Lists: which part of one a request asks for, in pages or by cursor, and the answer with its links.

use axum::extract::{FromRequestParts, RawQuery};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::extract::parse_query;
use service_kit::{FieldError, Page, Problem};
use utoipa::IntoParams;

use super::Api;
use super::cursor::ListId;
use super::wait::{Wait, WaitParams};
use crate::read::{Slice, Start, Window};

const DEFAULT_PAGE_SIZE: u32 = 20;
const MAX_PAGE_SIZE: u32 = 100;
/// Numbered pages end here: a deep one reads all rows before it. Cursors go on for ever.
const MAX_PAGED_ROWS: u64 = 100_000;

/// Which part of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// The number of the page, from 1; then the answer also counts all items. Not together with `cursor`.
    #[param(required = false, minimum = 1)]
    page: Option<u32>,
    /// How many items at most.
    #[param(required = false, minimum = 1, maximum = 100, default = 20)]
    page_size: Option<u32>,
    /// Where to go on: `meta.page.next_cursor` of the part before. Not together with `page`.
    #[param(required = false)]
    cursor: Option<String>,
}

/// What a list can be filtered and sorted by. Serialised, it is what a cursor is bound to.
pub(super) trait Filter: DeserializeOwned + Serialize + Send {
    /// The sort of the rows.
    type Sort: Copy;
    /// The sort that the caller named, or the default.
    fn sort(&self) -> Self::Sort;
}

/// A request for a part of a list.
pub(super) struct ListRequest<F: Filter> {
    pub(super) filter: F,
    pub(super) window: Window<F::Sort>,
    pub(super) wait: Option<Wait>,
    pub(super) headers: HeaderMap,
    uri: Uri,
    id: ListId,
}

impl<F: Filter> FromRequestParts<Api> for ListRequest<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RawQuery(query) = RawQuery::from_request_parts(parts, api).await.unwrap_or(RawQuery(None));
        let split = Split::of(query.as_deref().unwrap_or_default());
        let (page, wait): (PageParams, WaitParams) = (parse_query(&split.page)?, parse_query(&split.wait)?);
        let filter: F = parse_query(&split.filter)?;
        let id = ListId::new(parts.uri.path(), &filter);
        let size = page_size(page.page_size)?;
        let start = start(&page, size, id, api)?;
        let window = Window { sort: filter.sort(), start, size };
        let wait = Wait::of(&parts.headers, &wait, &api.token_key)?;
        Ok(Self { filter, window, wait, headers: parts.headers.clone(), uri: parts.uri.clone(), id })
    }
}

/// The parameters by whom they belong to: each group refuses what it does not know.
#[derive(Default)]
struct Split {
    page: String,
    wait: String,
    filter: String,
}

impl Split {
    fn of(query: &str) -> Self {
        let mut split = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let group = match pair.split('=').next().unwrap_or_default() {
                "page" | "page_size" | "cursor" => &mut split.page,
                "consistency_token" => &mut split.wait,
                _ => &mut split.filter,
            };
            if !group.is_empty() {
                group.push('&');
            }
            group.push_str(pair);
        }
        split
    }
}

fn page_size(given: Option<u32>) -> Result<u32, Problem> {
    let size = given.unwrap_or(DEFAULT_PAGE_SIZE);
    if (1..=MAX_PAGE_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(Problem::invalid(vec![FieldError::new("/page_size", "out-of-range", format!("expected 1 to {MAX_PAGE_SIZE}"))]))
}

fn start(params: &PageParams, size: u32, id: ListId, api: &Api) -> Result<Start, Problem> {
    match (params.page, params.cursor.as_deref()) {
        (None, None) => Ok(Start::First),
        (None, Some(cursor)) => api.cursor_key.open(id, cursor).map(Start::After),
        (Some(0), None) => Err(Problem::invalid(vec![FieldError::new("/page", "out-of-range", "pages are numbered from 1")])),
        (Some(page), None) if u64::from(page) * u64::from(size) > MAX_PAGED_ROWS => {
            let detail = format!("pages end at {MAX_PAGED_ROWS} items: go on with a cursor");
            Err(Problem::invalid(vec![FieldError::new("/page", "out-of-range", detail)]))
        }
        (Some(page), None) => Ok(Start::Page(page)),
        (Some(_), Some(_)) => {
            Err(Problem::invalid(vec![FieldError::new("/cursor", "contradicts-page", "give page or cursor, not both")]))
        }
    }
}

impl<F: Filter> ListRequest<F> {
    /// What the answer says about its part of the list. `key` is the sort key of a row.
    pub(super) fn page<T>(&self, api: &Api, slice: &Slice<T>, key: impl Fn(&T, F::Sort) -> Value) -> Page {
        let last = slice.rows.last().filter(|_| slice.has_more);
        let next_cursor = last.map(|row| api.cursor_key.seal(self.id, key(row, self.window.sort)));
        let size = self.window.size;
        Page {
            page: if let Start::Page(page) = self.window.start { Some(page) } else { None },
            page_size: size,
            total_pages: slice.total.map(|total| total.div_ceil_by(size)),
            total_items: slice.total,
            next_cursor,
            has_more: slice.has_more,
        }
    }

    /// The `Link` header: relative references to the neighbouring parts.
    pub(super) fn links(&self, page: &Page) -> Option<String> {
        let mut links = Vec::new();
        if let Some(number) = page.page {
            links.push(self.link("first", "page", "1"));
            if number > 1 {
                links.push(self.link("prev", "page", &(number - 1).to_string()));
            }
            if page.has_more {
                links.push(self.link("next", "page", &number.saturating_add(1).to_string()));
            }
            if let Some(last) = page.total_pages.filter(|last| *last > 0) {
                links.push(self.link("last", "page", &last.to_string()));
            }
        } else if let Some(cursor) = &page.next_cursor {
            links.push(self.link("next", "cursor", cursor));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    /// This request with another part wanted. The token is left out: the parts that follow need not wait again.
    fn link(&self, relation: &str, name: &str, value: &str) -> String {
        let dropped = ["page", "cursor", "consistency_token"];
        let mut pairs: Vec<&str> = self.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.retain(|pair| !dropped.contains(&pair.split('=').next().unwrap_or_default()));
        let wanted = format!("{name}={value}");
        pairs.push(&wanted);
        format!("<{}?{}>; rel=\"{relation}\"", self.uri.path(), pairs.join("&"))
    }
}

trait DivCeil {
    fn div_ceil_by(self, size: u32) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, size: u32) -> i64 {
        let size = Self::from(size.max(1));
        (self + size - 1) / size
    }
}
