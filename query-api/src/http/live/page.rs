//! Live updates of lists whose rows have no position: the page is sent whenever it differs.

use std::sync::Arc;

use access::{Permission, Scope};
use axum::body::Body;
use axum::response::Response;
use futures::FutureExt as _;
use serde::Serialize;
use serde_json::Value;
use service_kit::Problem;

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
        let (wait, api) = (request.wait, self.clone());
        let request = Arc::new(request);
        let ask: AskPage = Arc::new(move |wait| {
            let (api, request, question) = (api.clone(), Arc::clone(&request), question.clone());
            async move {
                let view = api.ask(question, wait).await?;
                let page = request.page(&api, &view.data, key);
                let rows = view.data.rows.into_iter().map(body);
                PageState::new(rows, fields, (view.seen, page)).map_err(|error| {
                    tracing::error!(%error, "a list cannot be written as JSON");
                    Problem::internal()
                })
            }
            .boxed()
        });
        let projection = Q::PROJECTIONS[0];
        let opening =
            PageOpening { place, request: path, projection, ask, access, last_event_id, wait };
        let stream = PageStream::open(&self.live, &self.reader, opening).await?;
        Ok(events(Body::from_stream(stream.chunks())))
    }
}
