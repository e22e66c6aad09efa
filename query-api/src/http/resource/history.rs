//! The handlers of `/users/{id}/history` and of the histories of orders and products: the events
//! that changed them.

use std::marker::PhantomData;

use access::{Permission, Scope};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::extract::Path;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::{Api, Version};
use crate::page::Page;
use crate::read::order::OrderRow;
use crate::read::past::{ListSteps, Past, Step, StepSort};
use crate::read::product::ProductRow;
use crate::read::user::UserRow;
use crate::read::{Asked, Projection, Read, Shown};
use crate::view::history::{Fields, HistoryEntry, fields};
use crate::view::{order as v1_order, product as v1_product, user as v1_user, v2};
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of all histories. Their tags are those of the resources.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(of_user))
        .routes(routes!(of_order))
        .routes(routes!(of_product))
}

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
struct HistoryFilter {
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
struct ListEntries<R> {
    steps: ListSteps<R>,
    fields: Fields<R>,
    /// Whether the caller may see who acted.
    names_who: bool,
}

impl<R: Past> Read for ListEntries<R> {
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
        let entry = |step| HistoryEntry::new(step, self.fields, self.names_who);
        let page = |Page { rows, has_more, total }: Page<Step<R>>| {
            let rows: Result<_, _> = rows.into_iter().map(entry).collect();
            rows.map(|rows| Page { rows, has_more, total })
        };
        let data = data.map(page).transpose();
        Ok(Asked { data: data.map_err(|error| sqlx::Error::Decode(error.into()))?, checkpoints })
    }
}

/// Lists the events that changed one user.
///
/// Orders change the totals of their user, so their events are here, too.
#[utoipa::path(
    get, path = "/users/{id}/history", tag = "users", operation_id = "listHistoryOfUser",
    params(("id" = inline(Id), Path, description = "The user's id"), HistoryFilter, PageParams,
        WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<HistoryEntry>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn of_user(
    State(api): State<Api>,
    id: RequestId,
    Path(user_id): Path<Id>,
    request: ListRequest<HistoryFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    list::<UserRow, v1_user::User, v2::user::User>(&api, id, (user_id.get(), scope), request).await
}

/// Lists the events that changed one order.
#[utoipa::path(
    get, path = "/orders/{id}/history", tag = "orders", operation_id = "listHistoryOfOrder",
    params(("id" = inline(Id), Path, description = "The order's id"), HistoryFilter, PageParams,
        WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<HistoryEntry>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn of_order(
    State(api): State<Api>,
    id: RequestId,
    Path(order_id): Path<Id>,
    request: ListRequest<HistoryFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    list::<OrderRow, v1_order::Order, v2::order::Order>(&api, id, (order_id.get(), scope), request)
        .await
}

/// Lists the events that changed one product.
#[utoipa::path(
    get, path = "/products/{id}/history", tag = "products",
    operation_id = "listHistoryOfProduct",
    params(("id" = inline(Id), Path, description = "The product's id"), HistoryFilter, PageParams,
        WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<HistoryEntry>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn of_product(
    State(api): State<Api>,
    id: RequestId,
    Path(product_id): Path<Id>,
    request: ListRequest<HistoryFilter>,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::ProductsRead)?;
    list::<ProductRow, v1_product::Product, v2::product::Product>(
        &api,
        id,
        (product_id.get(), scope),
        request,
    )
    .await
}

/// Answers with a page of the events that changed a row, in the form of the API version that the
/// client asks for.
async fn list<R, V1, V2>(
    api: &Api,
    id: RequestId,
    (row_id, scope): (Uuid, Scope),
    request: ListRequest<HistoryFilter>,
) -> Result<Response, Problem>
where
    R: Past,
    V1: From<R> + Serialize + 'static,
    V2: From<R> + Serialize + 'static,
{
    let names_who = api.everything(&request.caller, Permission::AuditRead).is_ok();
    let is_first = request.version == Version::V1.number();
    let fields: Fields<R> = if is_first { fields::<R, V1> } else { fields::<R, V2> };
    let question = move |page_request| ListEntries {
        steps: ListSteps { id: row_id, scope, page_request, row: PhantomData },
        fields,
        names_who,
    };
    let key = |entry: &HistoryEntry, _| Step::<R>::key(entry.position, entry.of);
    api.list(id, request, question, key, |entry| entry).await
}
