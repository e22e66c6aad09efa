//! Lists as Relay's connections: forward, by cursor. Cursors are those of the REST API: signed, and
//! bound to the list with its filter and sort.

use std::borrow::Cow;

use async_graphql::connection::PageInfo;
use async_graphql::{Context, Error, Object, Result, TypeName};
use graphql_kit::{AtOnce, Prompt};
use serde::Serialize;
use serde_json::Value;
use service_kit::{FieldError, Problem};

use super::asking::Asking;
use crate::http::Api;
use crate::page::{DEFAULT_SIZE, ListId, MAX_SIZE, Page, PageRequest, PageStart};

/// What a list has.
pub(super) trait Listed: Prompt {
    /// The possible sorts of the list.
    type Sort: Copy + Send + Sync + 'static;

    /// The key in this sort, after which the next page starts.
    fn key(&self, sort: Self::Sort) -> Value;
}

/// A page of a list.
pub(super) struct Connection<N: Listed> {
    edges: Vec<Edge<N>>,
    has_next_page: bool,
    has_previous_page: bool,
}

/// An item of a list, with its place.
pub(super) struct Edge<N: Listed> {
    node: N,
    list: ListId,
    sort: N::Sort,
}

/// The page that a field asks for.
pub(super) struct Wanted<S> {
    /// The list, with its filter and sort.
    list: ListId,
    /// The page of it.
    pub(super) request: PageRequest<S>,
}

impl<S: Copy> Wanted<S> {
    /// Reads which page of a list the arguments `first` and `after` name.
    ///
    /// The name and the filter, with what else the list depends on, tell it from all other lists.
    ///
    /// # Errors
    /// An argument is not valid.
    pub(super) fn read(
        asking: &Asking,
        list: (&str, &impl Serialize),
        sort: S,
        (first, after): (Option<i32>, Option<&str>),
    ) -> Result<Self, Error> {
        let mut wanted =
            Self::first(list, sort, first).map_err(|problem| asking.failure(&problem))?;
        if let Some(cursor) = after {
            let key = asking.api().cursor_key.verify(wanted.list, cursor);
            let key = key.map_err(|error| asking.failure(&error.into()))?;
            wanted.request.start = PageStart::After(key);
        }
        Ok(wanted)
    }

    /// The first page of a list.
    ///
    /// # Errors
    /// The size of the page is not valid.
    pub(super) fn first(
        (name, filter): (&str, &impl Serialize),
        sort: S,
        first: Option<i32>,
    ) -> Result<Self, Problem> {
        let list = ListId::new(name, filter);
        let size = first.map_or(Ok(DEFAULT_SIZE), u32::try_from);
        let Some(size) = size.ok().filter(|size| (1..=MAX_SIZE).contains(size)) else {
            let detail = format!("expected 1 to {MAX_SIZE}");
            let error = FieldError::new("/first", "out-of-range", detail);
            return Err(Problem::invalid(vec![error]));
        };
        Ok(Self { list, request: PageRequest { sort, start: PageStart::First, size } })
    }

    /// What follows a page, with a cursor for `after`. `key` returns the sort key of a row.
    pub(super) fn info<T>(
        &self,
        api: &Api,
        page: &Page<T>,
        key: fn(&T, S) -> Value,
    ) -> service_kit::PageInfo {
        let PageRequest { sort, size, .. } = self.request;
        let last = page.rows.last().filter(|_| page.has_more);
        service_kit::PageInfo {
            page: None,
            page_size: size,
            total_pages: None,
            total_items: None,
            next_cursor: last.map(|row| api.cursor_key.sign(self.list, key(row, sort))),
            has_more: page.has_more,
        }
    }

    /// The page as a connection.
    pub(super) fn connection<T, N: Listed<Sort = S>>(
        &self,
        page: Page<T>,
        node: impl Fn(T) -> N,
    ) -> AtOnce<Connection<N>> {
        let (list, sort) = (self.list, self.request.sort);
        let edges = page.rows.into_iter().map(|row| Edge { node: node(row), list, sort });
        AtOnce(Connection {
            edges: edges.collect(),
            has_next_page: page.has_more,
            has_previous_page: self.request.start != PageStart::First,
        })
    }
}

impl<N: Listed> Edge<N> {
    fn signed(&self, ctx: &Context<'_>) -> Result<String> {
        let key = self.node.key(self.sort);
        Ok(ctx.data::<Asking>()?.api().cursor_key.sign(self.list, key))
    }
}

/// A page of a list.
#[Object(name_type)]
impl<N: Listed> Connection<N> {
    /// The items with their cursors.
    async fn edges(&self) -> Vec<AtOnce<&Edge<N>>> {
        self.edges.iter().map(AtOnce).collect()
    }

    /// The items.
    async fn nodes(&self) -> Vec<AtOnce<&N>> {
        self.edges.iter().map(|edge| AtOnce(&edge.node)).collect()
    }

    /// What comes before and after the page.
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        let signed = |edge: Option<&Edge<N>>| edge.map(|edge| edge.signed(ctx)).transpose();
        Ok(PageInfo {
            has_previous_page: self.has_previous_page,
            has_next_page: self.has_next_page,
            start_cursor: signed(self.edges.first())?,
            end_cursor: signed(self.edges.last())?,
        })
    }
}

/// An item of a list.
#[Object(name_type)]
impl<N: Listed> Edge<N> {
    /// The place of the item in the list: hand it to `after`.
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn cursor(&self, ctx: &Context<'_>) -> Result<String> {
        self.signed(ctx)
    }

    /// The item.
    async fn node(&self) -> AtOnce<&N> {
        AtOnce(&self.node)
    }
}

impl<N: Listed> Prompt for Connection<N> {
    const WAITING: &'static [&'static str] = N::WAITING;
}

impl<N: Listed> Prompt for Edge<N> {
    const WAITING: &'static [&'static str] = N::WAITING;
}

impl<N: Listed> TypeName for Connection<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Connection", N::type_name()).into()
    }
}

impl<N: Listed> TypeName for Edge<N> {
    fn type_name() -> Cow<'static, str> {
        format!("{}Edge", N::type_name()).into()
    }
}
