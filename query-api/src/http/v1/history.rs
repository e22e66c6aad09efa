//! The handlers of `/api/v1/…/{id}/history`: the events that changed a user, an order or a product.

use std::marker::PhantomData;

use access::{Permission, Scope};
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::extract::Path;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::page::Page;
use crate::read::View;
use crate::read::order::OrderRow;
use crate::read::past::{ListSteps, Past, Step, StepSort};
use crate::read::product::ProductRow;
use crate::read::user::UserRow;
use crate::view::history::HistoryEntry;
use crate::view::order::Order;
use crate::view::product::Product;
use crate::view::user::User;

/// The routes of all histories.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
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

/// Lists the events that changed one user.
///
/// Orders change the totals of their user, so their events are here, too.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/history", tag = "users", operation_id = "listHistoryOfUser",
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
    history::<UserRow, User>(&api, id, (user_id.get(), scope), &request).await
}

/// Lists the events that changed one order.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}/history", tag = "orders", operation_id = "listHistoryOfOrder",
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
    history::<OrderRow, Order>(&api, id, (order_id.get(), scope), &request).await
}

/// Lists the events that changed one product.
#[utoipa::path(
    get, path = "/api/v1/products/{id}/history", tag = "products",
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
    history::<ProductRow, Product>(&api, id, (product_id.get(), scope), &request).await
}

/// Answers with a page of the events that changed a row, which clients see as `B`.
async fn history<R: Past, B: Serialize + From<R>>(
    api: &Api,
    id: RequestId,
    (row_id, scope): (Uuid, Scope),
    request: &ListRequest<HistoryFilter>,
) -> Result<Response, Problem> {
    let names_who = api.everything(&request.caller, Permission::AuditRead).is_ok();
    let page_request = request.page_request.clone();
    let question = ListSteps::<R> { id: row_id, scope, page_request, row: PhantomData };
    let View { data, seen } = api.ask(question, request.wait).await?;
    let Page { rows, has_more, total } = data.ok_or_else(Problem::not_found)?;
    let entries = rows.into_iter().map(|step: Step<R>| HistoryEntry::new::<R, B>(step, names_who));
    let rows = entries.collect::<Result<Vec<_>, _>>().map_err(|error| {
        tracing::error!(%error, "a history cannot be written as JSON");
        Problem::internal()
    })?;
    let view = View { data: Page { rows, has_more, total }, seen };
    let key = |entry: &HistoryEntry, _| Step::<R>::key(entry.position, row_id);
    api.list(id, request, view, key, |entry| entry)
}
