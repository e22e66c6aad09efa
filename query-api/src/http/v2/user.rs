//! The handlers of `/api/v2/users`: money is an object.

use axum::extract::State;
use axum::response::Response;
use service_kit::extract::Path;
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
use crate::http::resource::order::OrderOfUserFilter;
use crate::http::resource::user::{self, UserFilter};
use crate::view::v2::order::Order;
use crate::view::v2::user::User;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(user::Tag::openapi())
        .routes(routes!(list))
        .routes(routes!(find))
        .routes(routes!(orders))
}

/// Lists users.
#[utoipa::path(
    get, path = "/users", tag = "users", operation_id = "listUsers", params(UserFilter,
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<User>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<UserFilter>,
) -> Result<Response, Problem> {
    user::list(&api, id, request, User::from).await
}

/// Shows one user.
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = inline(Id), Path, description = "The user's id"), RowParams, QueryHeaders,
        LiveHeaders),
    responses((status = 200, description = "The user", body = Envelope<User>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    user::find(&api, id, request, User::from).await
}

/// Lists one user's orders.
#[utoipa::path(
    get, path = "/users/{id}/orders", tag = "users", operation_id = "listOrdersOfUser",
    params(("id" = inline(Id), Path, description = "The user's id"), OrderOfUserFilter,
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn orders(
    State(api): State<Api>,
    id: RequestId,
    Path(user_id): Path<Id>,
    request: ListRequest<OrderOfUserFilter>,
) -> Result<Response, Problem> {
    user::orders(&api, id, user_id.get(), request, Order::from).await
}
