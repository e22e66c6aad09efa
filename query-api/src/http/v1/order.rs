//! The handlers of `/api/v1/orders`.

use std::sync::Arc;

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, LiveList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::live::Matches;
use crate::read::order::{FindOrder, ListOrders, OrderRow, OrderSort};
use crate::view::order::{Order, OrderStatus};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "orders", description = "Orders with their lines")))]
struct Tag;

/// The routes of this resource.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(list)).routes(routes!(find))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortOrders {
    #[serde(rename = "created_at")]
    CreatedAt,
    #[serde(rename = "-created_at")]
    CreatedAtDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OrderFilter {
    /// Only orders of this user.
    #[param(required = false, inline)]
    user_id: Option<Id>,
    /// Only orders with this status.
    #[param(required = false, inline)]
    status: Option<OrderStatus>,
    /// The sort of the list; `-` means descending. The default is `-created_at`.
    #[param(required = false, inline)]
    sort: Option<SortOrders>,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderOfUserFilter {
    /// Only orders with this status.
    #[param(required = false, inline)]
    status: Option<OrderStatus>,
    /// The sort of the list; `-` means descending. The default is `-created_at`.
    #[param(required = false, inline)]
    sort: Option<SortOrders>,
}

impl Filter for OrderFilter {
    type Sort = OrderSort;

    fn sort(&self) -> OrderSort {
        sort(self.sort)
    }
}

impl Filter for OrderOfUserFilter {
    type Sort = OrderSort;

    fn sort(&self) -> OrderSort {
        sort(self.sort)
    }
}

impl OrderOfUserFilter {
    pub(super) fn status(&self) -> Option<String> {
        self.status.map(|status| status.text().to_owned())
    }
}

/// Lists orders.
#[utoipa::path(
    get, path = "/api/v1/orders", tag = "orders", operation_id = "listOrders", params(OrderFilter,
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<OrderFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    let question = ListOrders {
        scope,
        user_id: request.filter.user_id.map(Id::get),
        status: request.filter.status.map(|status| status.text().to_owned()),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let visible = (scope, question.user_id);
        let list = LiveList::new(visible, with_status(&question), question, OrderRow::key);
        return api.follow_list(live, request, list, (Permission::OrdersRead, scope)).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, OrderRow::key, Order::from)
}

/// Shows one order.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = inline(Id), Path, description = "The order's id"), WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "The order", body = Envelope<Order>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: RowRequest,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    if let Some(live) = live {
        return api.follow_row::<OrderRow>(live, request, (Permission::OrdersRead, scope)).await;
    }
    let question = FindOrder::new(request.id, scope);
    api.row(id, request, question, |row| {
        let (version, position) = (row.version, row.position);
        (Order::from(row), version, position)
    })
    .await
}

/// Whether an order has the status that a list asks for.
pub(super) fn with_status(list: &ListOrders) -> Option<Matches<OrderRow>> {
    let status = list.status.clone()?;
    Some(Arc::new(move |row: &OrderRow| row.status == status))
}

const fn sort(given: Option<SortOrders>) -> OrderSort {
    match given {
        Some(SortOrders::CreatedAt) => OrderSort::CreatedAtAsc,
        None | Some(SortOrders::CreatedAtDesc) => OrderSort::CreatedAtDesc,
    }
}
