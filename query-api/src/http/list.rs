//! Lists: reads which page a request asks for, by number or by cursor, and builds the answer with
//! its links.

use access::Caller;
use axum::extract::{FromRequestParts, OriginalUri, RawQuery};
use axum::http::request::Parts;
use form_urlencoded::Serializer;
use identity::gate::RequestCaller;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service_kit::conditional::Preconditions;
use service_kit::extract::parse_query;
use service_kit::http::{ApiVersion, RateKey};
use service_kit::input::schema::OpaqueText;
use service_kit::input::{Integer, Text};
use service_kit::{FieldError, PageInfo, Problem};
use utoipa::IntoParams;

use super::export::Format;
use super::live::{self, LiveRequest};
use super::{Api, as_of};
use crate::page::{
    CursorError, DEFAULT_SIZE, ListId, MAX_NUMBERED_ROWS, MAX_SIZE, Page, PageRequest, PageStart,
    is_numbered,
};
use crate::read::past::AsOf;
use crate::wait::{Wait, WaitParams};

/// The query parameters that select a page of a list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct PageParams {
    /// The number of the page, from 1. The answer then also counts all items. Numbered pages end at
    /// 100,000 items (`out-of-range`). Cannot be combined with `cursor` (`contradicts-page`).
    #[param(required = false, value_type = i64, minimum = 1)]
    page: Option<Text<Integer>>,
    /// The maximum number of items on the page.
    #[param(required = false, value_type = i64, minimum = 1, maximum = 100, default = 20)]
    page_size: Option<Text<Integer>>,
    /// The place to continue: `meta.page.next_cursor` of the previous page. It belongs to its list,
    /// filter and sort (`cursor-invalid`). Cannot be combined with `page` (`contradicts-page`).
    #[param(required = false, inline, value_type = OpaqueText)]
    cursor: Option<String>,
    /// The format of the answer, for those who cannot send `Accept`; it counts more than that.
    /// `csv` and `ndjson` export the whole list, so `page`, `page_size` and `cursor` cannot be
    /// combined with them (`contradicts-format`). Live updates have no `format`
    /// (`contradicts-accept`).
    #[param(required = false, inline)]
    format: Option<Format>,
}

/// The filters and the sort of a list. A cursor is bound to their serialised form.
pub(super) trait Filter: DeserializeOwned + Serialize + Send {
    /// The possible sorts of the rows.
    type Sort: Copy + Send + Sync + 'static;
    /// Whether the list can be asked for as of a moment.
    const AS_OF: bool = false;
    /// The moment that the list is asked for as of.
    fn as_of(&self) -> Option<AsOf> {
        None
    }
    /// The sort that the caller named, or the default one.
    fn sort(&self) -> Self::Sort;
    /// Returns the filter in its canonical form: filters that match the same rows are equal.
    ///
    /// # Errors
    /// The invalid parameters: a value that no row can have, or values that contradict each other.
    fn checked(self) -> Result<Self, Vec<FieldError>> {
        Ok(self)
    }
}

/// A request for one page of a list.
pub(super) struct ListRequest<F: Filter> {
    pub(super) caller: Caller,
    /// Whose share of the places for exports it takes.
    pub(super) client: RateKey,
    pub(super) filter: F,
    pub(super) page_request: PageRequest<F::Sort>,
    pub(super) wait: Option<Wait>,
    pub(super) conditions: Preconditions,
    pub(super) format: Format,
    /// The live updates that it asks for.
    pub(super) live: Option<LiveRequest>,
    pub(super) version: ApiVersion,
    pub(super) path: String,
    pub(super) id: ListId,
    common: String,
}

impl<F: Filter> FromRequestParts<Api> for ListRequest<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let RequestCaller(caller) = RequestCaller::of(parts)?;
        let RawQuery(query) =
            RawQuery::from_request_parts(parts, api).await.unwrap_or(RawQuery(None));
        let query = query.as_deref().unwrap_or_default();
        if !F::AS_OF {
            as_of::refuse(query)?;
        }
        let split = Split::of(query);
        let (page, wait): (PageParams, WaitParams) =
            (parse_query(&split.page)?, parse_query(&split.wait)?);
        let filter = parse_query::<F>(&split.filter)?.checked().map_err(Problem::invalid)?;
        // The router cuts off the prefix under which a version is mounted.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let path = uri.path().to_owned();
        let id = ListId::new(&path, &filter);
        let live = LiveRequest::of(parts)?;
        let format = if live.is_some() {
            let as_of = ("/as_of", filter.as_of().is_some());
            live::refuse_with(&[("/format", page.format.is_some()), as_of])?;
            Format::Json
        } else {
            page.format.unwrap_or_else(|| Format::accepted(&parts.headers))
        };
        if format != Format::Json {
            page.is_not_there()?;
        }
        let size = page_size(page.page_size)?;
        let start = start(&page, size, id, api)?;
        let page_request = PageRequest { sort: filter.sort(), start, size };
        let wait = Wait::of(&parts.headers, &wait, &api.token_key)?;
        let conditions = Preconditions::of(&parts.headers)?;
        let version = super::version_of(parts);
        Ok(Self {
            caller,
            client: live::client(parts)?,
            filter,
            page_request,
            wait,
            conditions,
            format,
            live,
            version,
            path,
            id,
            common: split.common,
        })
    }
}

impl PageParams {
    /// Refuses parameters that select a page.
    fn is_not_there(&self) -> Result<(), Problem> {
        let Self { page, page_size, cursor, format: _ } = self;
        let given = [
            ("/page", page.is_some()),
            ("/page_size", page_size.is_some()),
            ("/cursor", cursor.is_some()),
        ];
        let contradicts = |(pointer, _)| {
            FieldError::new(pointer, "contradicts-format", "an export has the whole list")
        };
        let errors: Vec<_> =
            given.into_iter().filter(|(_, is_given)| *is_given).map(contradicts).collect();
        if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
    }
}

/// The query parameters, split into groups. Each group refuses parameters that it does not know.
///
/// They are grouped by their decoded names, so the encoding in the URL does not matter.
struct Split {
    page: String,
    wait: String,
    filter: String,
    /// The parameters that all pages of the list share.
    common: String,
}

impl Split {
    fn of(query: &str) -> Self {
        let [mut page, mut wait, mut filter, mut common] =
            std::array::from_fn(|_| Serializer::new(String::new()));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (group, is_common) = match name.as_ref() {
                "page" | "cursor" => (&mut page, false),
                "page_size" | "format" => (&mut page, true),
                // The next pages need not wait again.
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
    /// The page information in an answer. `key` returns the sort key of a row.
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

    /// The `Link` header: relative references to the neighbouring pages.
    ///
    /// Each link leads to a page of this list: none before the first or after the last. Beyond the
    /// last numbered page, `next` continues by cursor.
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

    /// The URL of this request for another page.
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
