//! The histories of users, orders and products, the events that changed them: the filter and the
//! question of all versions.

use std::marker::PhantomData;

use access::Scope;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use service_kit::http::RequestId;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::Api;
use crate::http::list::{Filter, ListRequest};
use crate::page::Page;
use crate::read::past::{ListSteps, Past, Step, StepSort};
use crate::read::{Asked, Projection, Read, Shown};
use crate::view::history::HistoryEntry;

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortHistory {
    #[serde(rename = "position")]
    Position,
    #[serde(rename = "-position")]
    PositionDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HistoryFilter {
    /// The sort of the list; `-` means descending. The default is `position`.
    #[param(required = false, inline)]
    sort: Option<SortHistory>,
}

impl Filter for HistoryFilter {
    type Sort = StepSort;

    fn sort(&self) -> StepSort {
        match self.sort {
            None | Some(SortHistory::Position) => StepSort::PositionAsc,
            Some(SortHistory::PositionDesc) => StepSort::PositionDesc,
        }
    }
}

/// The question for a page of events in the form that clients see.
struct ListEntries<R, B> {
    steps: ListSteps<R>,
    /// Makes the visible form of a row.
    body: fn(R) -> B,
    /// Whether the caller may see who acted.
    names_who: bool,
}

impl<R: Past, B: Serialize + 'static> Read for ListEntries<R, B> {
    type Answer = Option<Page<HistoryEntry>>;
    const PROJECTIONS: &'static [Projection] = R::PROJECTIONS;
    const BEGIN: &'static str = R::BEGIN;
    const CHECKPOINTS: &'static str = R::CHECKPOINTS;
    const IN_ONE_STATEMENT: bool = ListSteps::<R>::IN_ONE_STATEMENT;

    fn row(&self, projection: Projection) -> Option<String> {
        self.steps.row(projection)
    }

    fn shown(answer: &Self::Answer) -> Shown {
        let entries = answer.iter().flat_map(|page| &page.rows);
        Shown::rows(R::PROJECTIONS[0], entries.map(|entry| entry.of))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Asked { data, checkpoints } = self.steps.ask(snapshot).await?;
        let entry = |step| HistoryEntry::new(step, self.body, self.names_who);
        let page = |Page { rows, has_more, total }: Page<Step<R>>| {
            let rows: Result<_, _> = rows.into_iter().map(entry).collect();
            rows.map(|rows| Page { rows, has_more, total })
        };
        let data = data.map(page).transpose();
        Ok(Asked { data: data.map_err(|error| sqlx::Error::Decode(error.into()))?, checkpoints })
    }
}

/// Answers with a page of the events that changed a row. `body` makes the form of the row that
/// clients see.
pub(in crate::http) async fn list<R: Past, B: Serialize + 'static>(
    api: &Api,
    id: RequestId,
    (row_id, scope): (Uuid, Scope),
    request: ListRequest<HistoryFilter>,
    body: fn(R) -> B,
) -> Result<Response, Problem> {
    let names_who = api.everything(&request.caller, access::Permission::AuditRead).is_ok();
    let question = move |page_request| ListEntries {
        steps: ListSteps { id: row_id, scope, page_request, row: PhantomData },
        body,
        names_who,
    };
    let key = |entry: &HistoryEntry, _| Step::<R>::key(entry.position, entry.of);
    api.list(id, request, question, key, |entry| entry).await
}
