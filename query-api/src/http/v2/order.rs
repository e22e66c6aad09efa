//! The handlers of `/api/v2/orders`: money is an object.

use axum::extract::State;
use axum::response::Response;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::{Failures, RowParams, RowRequest};
use crate::http::list::{ListRequest, PageParams};
use crate::http::live::LiveHeaders;
use crate::http::resource::order::{self, OrderFilter};
use crate::view::v2::order::Order;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(order::Tag::openapi()).routes(routes!(list)).routes(routes!(find))
}

/// Lists orders.
#[utoipa::path(
    get, path = "/orders", tag = "orders", operation_id = "listOrders", params(OrderFilter,
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<OrderFilter>,
) -> Result<Response, Problem> {
    order::list(&api, id, request, Order::from).await
}

/// Shows one order.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = inline(Id), Path, description = "The order's id"), RowParams, QueryHeaders,
        LiveHeaders),
    responses((status = 200, description = "The order", body = Envelope<Order>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    order::find(&api, id, request, Order::from).await
}
