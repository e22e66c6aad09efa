//! Lists: which page of one a request asks for, in pages or by cursor, and the answer with its
//! links.

use axum::extract::{FromRequestParts, RawQuery};
use axum::http::request::Parts;
use form_urlencoded::Serializer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::conditional::Preconditions;
use service_kit::extract::parse_query;
use service_kit::input::{Integer, Text};
use service_kit::{FieldError, PageInfo, Problem};
use utoipa::IntoParams;

use super::Api;
use super::wait::{Wait, WaitParams};
use crate::page::{
    CursorError, DEFAULT_SIZE, ListId, MAX_NUMBERED_ROWS, MAX_SIZE, Page, PageRequest, PageStart,
    is_numbered,
};

/// Which page of a list is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// The number of the page, from 1; then the answer also counts all items. Numbered pages end at
    /// 100,000 items. Not together with `cursor`.
    #[param(required = false, value_type = i64, minimum = 1)]
    page: Option<Text<Integer>>,
    /// How many items at most.
    #[param(required = false, value_type = i64, minimum = 1, maximum = 100, default = 20)]
    page_size: Option<Text<Integer>>,
    /// Where to go on: `meta.page.next_cursor` of the page before. Not together with `page`.
    #[param(required = false)]
    cursor: Option<String>,
}

/// What a list can be filtered and sorted by. Serialised, it is what a cursor is bound to.
pub(super) trait Filter: DeserializeOwned + Serialize + Send {
    /// The sort of the rows.
    type Sort: Copy;
    /// The sort that the caller named, or the default.
    fn sort(&self) -> Self::Sort;
    /// The filter in its canonical form: two that let through the same are the same. Or what is
    /// wrong with it: a value that no row can have, and values that contradict each other.
    fn checked(self) -> Result<Self, Vec<FieldError>> {
        Ok(self)
    }
}

/// A request for a page of a list.
pub(super) struct ListRequest<F: Filter> {
    pub(super) filter: F,
    pub(super) page_request: PageRequest<F::Sort>,
    pub(super) wait: Option<Wait>,
    pub(super) conditions: Preconditions,
    path: String,
    common: String,
    id: ListId,
}

impl<F: Filter> FromRequestParts<Api> for ListRequest<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RawQuery(query) =
            RawQuery::from_request_parts(parts, api).await.unwrap_or(RawQuery(None));
        let split = Split::of(query.as_deref().unwrap_or_default());
        let (page, wait): (PageParams, WaitParams) =
            (parse_query(&split.page)?, parse_query(&split.wait)?);
        let filter = parse_query::<F>(&split.filter)?.checked().map_err(Problem::invalid)?;
        let id = ListId::new(parts.uri.path(), &filter);
        let size = page_size(page.page_size)?;
        let start = start(&page, size, id, api)?;
        let page_request = PageRequest { sort: filter.sort(), start, size };
        let wait = Wait::of(&parts.headers, &wait, &api.token_key)?;
        let (path, common) = (parts.uri.path().to_owned(), split.common);
        let conditions = Preconditions::of(&parts.headers)?;
        Ok(Self { filter, page_request, wait, conditions, path, common, id })
    }
}

/// The parameters by whom they belong to: each group refuses what it does not know. They are told
/// apart by their names as read, however these are written.
struct Split {
    page: String,
    wait: String,
    filter: String,
    /// Those that every page of the list has in common.
    common: String,
}

impl Split {
    fn of(query: &str) -> Self {
        let [mut page, mut wait, mut filter, mut common] =
            std::array::from_fn(|_| Serializer::new(String::new()));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (group, is_common) = match name.as_ref() {
                "page" | "cursor" => (&mut page, false),
                "page_size" => (&mut page, true),
                // The pages that follow need not wait again.
                "consistency_token" => (&mut wait, false),
                _ => (&mut filter, true),
            };
            group.append_pair(&name, &value);
            if is_common {
                common.append_pair(&name, &value);
            }
        }
        Self {
            page: page.finish(),
            wait: wait.finish(),
            filter: filter.finish(),
            common: common.finish(),
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        Self::bad_request("cursor-invalid", "The cursor is not valid").detail(error.to_string())
    }
}

fn page_size(given: Option<Text<Integer>>) -> Result<u32, Problem> {
    let size = given.map_or(Ok(DEFAULT_SIZE), |Text(size)| u32::try_from(size.get()));
    if let Some(size) = size.ok().filter(|size| (1..=MAX_SIZE).contains(size)) {
        return Ok(size);
    }
    Err(Problem::invalid(vec![FieldError::new(
        "/page_size",
        "out-of-range",
        format!("expected 1 to {MAX_SIZE}"),
    )]))
}

fn start(params: &PageParams, size: u32, id: ListId, api: &Api) -> Result<PageStart, Problem> {
    match (params.page, params.cursor.as_deref()) {
        (None, None) => Ok(PageStart::First),
        (None, Some(cursor)) => Ok(PageStart::After(api.cursor_key.verify(id, cursor)?)),
        (Some(Text(page)), None) if page.get() < 1 => Err(Problem::invalid(vec![FieldError::new(
            "/page",
            "out-of-range",
            "pages are numbered from 1",
        )])),
        (Some(Text(page)), None) => {
            let page =
                u32::try_from(page.get()).ok().filter(|page| is_numbered((*page).into(), size));
            page.map(PageStart::Page).ok_or_else(|| {
                let detail = format!("pages end at {MAX_NUMBERED_ROWS} items: go on with a cursor");
                Problem::invalid(vec![FieldError::new("/page", "out-of-range", detail)])
            })
        }
        (Some(_), Some(_)) => Err(Problem::invalid(vec![FieldError::new(
            "/cursor",
            "contradicts-page",
            "give page or cursor, not both",
        )])),
    }
}

impl<F: Filter> ListRequest<F> {
    /// What the answer says about its page of the list. `key` is the sort key of a row.
    pub(super) fn page<T>(
        &self,
        api: &Api,
        page: &Page<T>,
        key: impl Fn(&T, F::Sort) -> Value,
    ) -> PageInfo {
        let last = page.rows.last().filter(|_| page.has_more);
        let next_cursor =
            last.map(|row| api.cursor_key.sign(self.id, key(row, self.page_request.sort)));
        let size = self.page_request.size;
        PageInfo {
            page: if let PageStart::Page(page) = self.page_request.start {
                Some(page)
            } else {
                None
            },
            page_size: size,
            total_pages: page.total.map(|total| total.div_ceil_by(size)),
            total_items: page.total,
            next_cursor,
            has_more: page.has_more,
        }
    }

    /// The `Link` header: relative references to the neighbouring pages. Each leads to a
    /// page of this list: none to a page before the first, behind the last or beyond the
    /// numbered ones.
    pub(super) fn links(&self, page: &PageInfo) -> Option<String> {
        let mut links = Vec::new();
        if let Some(number) = page.page.map(i64::from) {
            let total = page.total_pages.unwrap_or(0);
            let number_of =
                |relation: &str, page: i64| self.link(relation, "page", &page.to_string());
            links.push(number_of("first", 1));
            if number > 1 {
                links.push(number_of("prev", (number - 1).min(total.max(1))));
            }
            if page.has_more && is_numbered(number + 1, page.page_size) {
                links.push(number_of("next", number + 1));
            } else if let Some(cursor) = &page.next_cursor {
                links.push(self.link("next", "cursor", cursor));
            }
            if total > 0 && is_numbered(total, page.page_size) {
                links.push(number_of("last", total));
            }
        } else if let Some(cursor) = &page.next_cursor {
            links.push(self.link("next", "cursor", cursor));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }

    /// This request with another page wanted.
    fn link(&self, relation: &str, name: &str, value: &str) -> String {
        let mut query = Serializer::new(self.common.clone());
        query.append_pair(name, value);
        format!("<{}?{}>; rel=\"{relation}\"", self.path, query.finish())
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
