//! Live updates of lists whose rows have no position: the page is sent whenever it differs.

use std::sync::Arc;

use access::{Permission, Scope};
use axum::body::Body;
use axum::response::Response;
use futures::FutureExt as _;
use serde::Serialize;
use serde_json::{Map, Value};
use service_kit::{PageInfo, Problem};

use super::{LiveRequest, events};
use crate::http::Api;
use crate::http::list::{Filter, ListRequest};
use crate::live::{AskPage, PageOpening, PageState, PageStream};
use crate::page::Page;
use crate::read::Read;

/// A list whose page is followed.
pub(in crate::http) struct PageList<T, F: Filter, B, Q> {
    /// The question for the page.
    pub(in crate::http) question: Q,
    /// The sort key of a row.
    pub(in crate::http) key: fn(&T, F::Sort) -> Value,
    /// Makes the visible form of a row.
    pub(in crate::http) body: fn(T) -> B,
    /// The fields of the visible form that tell a row from others.
    pub(in crate::http) fields: &'static [&'static str],
}

impl Api {
    /// How a stream of a page reads it. `page` tells what follows the page, `body` makes the form
    /// of its rows that clients see, and `key` tells a row in that form from others.
    pub(crate) fn ask_page<T, B, Q>(
        &self,
        question: Q,
        page: impl Fn(&Self, &Page<T>) -> PageInfo + Send + Sync + 'static,
        body: impl Fn(T) -> Result<B, serde_json::Error> + Send + Sync + 'static,
        key: impl Fn(&B) -> Value + Send + Sync + 'static,
    ) -> AskPage<B>
    where
        T: Send + 'static,
        B: Serialize + PartialEq + Send + Sync + 'static,
        Q: Read<Answer = Page<T>> + Clone,
    {
        let (api, made) = (self.clone(), Arc::new((page, body, key)));
        Arc::new(move |wait| {
            let (api, question, made) = (api.clone(), question.clone(), Arc::clone(&made));
            async move {
                let (page, body, key) = made.as_ref();
                let view = api.ask(question, wait).await?;
                let page = page(&api, &view.data);
                let rows = view.data.rows.into_iter().map(body).collect::<Result<Vec<_>, _>>();
                let state = rows.and_then(|rows| PageState::new(rows, key, (view.seen, page)));
                state.map_err(|error| {
                    tracing::error!(%error, "a list cannot be written as JSON");
                    Problem::internal()
                })
            }
            .boxed()
        })
    }

    /// Follows the page of a list that belongs to nobody.
    pub(in crate::http) async fn follow_page<T, F, B, Q>(
        &self,
        live: LiveRequest,
        request: ListRequest<F>,
        list: PageList<T, F, B, Q>,
        permission: Permission,
    ) -> Result<Response, Problem>
    where
        T: Send + 'static,
        F: Filter + Sync + 'static,
        B: Serialize + 'static,
        Q: Read<Answer = Page<T>> + Clone,
    {
        let LiveRequest { client, request: path, credentials, last_event_id, .. } = live;
        let place = self.live.take(client)?;
        let access = self.still_allowed(credentials, (permission, Scope::All));
        let PageList { question, key, body, fields } = list;
        let wait = request.wait;
        let ask = self.ask_page(
            question,
            move |api, page| request.page(api, page, key),
            move |row| serde_json::to_value(body(row)),
            move |row: &Value| {
                let field = |name: &&str| ((*name).to_owned(), row[*name].clone());
                Value::Object(fields.iter().map(field).collect::<Map<_, _>>())
            },
        );
        let projection = Q::PROJECTIONS[0];
        let opening =
            PageOpening { place, request: path, projection, ask, access, last_event_id, wait };
        let stream = PageStream::open(&self.live, &self.reader, opening).await?;
        Ok(events(Body::from_stream(stream.chunks())))
    }
}
