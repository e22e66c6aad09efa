//! The handlers of `/api/v2/…/{id}/history`: the events that changed a user, an order or a product.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use service_kit::extract::Path;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{ListRequest, PageParams};
use crate::http::resource::history::{self, HistoryFilter};
use crate::read::order::OrderRow;
use crate::read::product::ProductRow;
use crate::read::user::UserRow;
use crate::view::history::HistoryEntry;
use crate::view::v2::order::Order;
use crate::view::v2::product::Product;
use crate::view::v2::user::User;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of all histories.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(of_user))
        .routes(routes!(of_order))
        .routes(routes!(of_product))
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
    history::list(&api, id, (user_id.get(), scope), request, <User as From<UserRow>>::from).await
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
    history::list(&api, id, (order_id.get(), scope), request, <Order as From<OrderRow>>::from).await
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
    history::list(&api, id, (product_id.get(), scope), request, <Product as From<ProductRow>>::from)
        .await
}
