//! The handlers of `/api/v1/users`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::extract::Path;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::input::schema::EmailAddress;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::order;
use crate::filter;
use crate::http::Api;
use crate::http::answer::{Failures, RowParams, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::order::{ListOrdersOfUser, OrderRow};
use crate::read::user::{ListUsers, UserRow, UserSort};
use crate::view::order::Order;
use crate::view::user::{User, UserStatus};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "users", description = "Users and what they bought")))]
struct Tag;

/// The routes of this resource.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi())
        .routes(routes!(list))
        .routes(routes!(find))
        .routes(routes!(orders))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortUsers {
    #[serde(rename = "created_at")]
    CreatedAt,
    #[serde(rename = "-created_at")]
    CreatedAtDesc,
    #[serde(rename = "order_count")]
    OrderCount,
    #[serde(rename = "-order_count")]
    OrderCountDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UserFilter {
    /// Only users with this status.
    #[param(required = false, inline)]
    status: Option<UserStatus>,
    /// Only the user with this e-mail address. Upper and lower case are the same.
    #[param(required = false, inline, value_type = EmailAddress)]
    email: Option<String>,
    /// The sort of the list; `-` means descending. The default is `-created_at`.
    #[param(required = false, inline)]
    sort: Option<SortUsers>,
}

impl Filter for UserFilter {
    type Sort = UserSort;

    fn sort(&self) -> UserSort {
        match self.sort {
            Some(SortUsers::CreatedAt) => UserSort::CreatedAtAsc,
            None | Some(SortUsers::CreatedAtDesc) => UserSort::CreatedAtDesc,
            Some(SortUsers::OrderCount) => UserSort::OrderCountAsc,
            Some(SortUsers::OrderCountDesc) => UserSort::OrderCountDesc,
        }
    }

    fn checked(mut self) -> Result<Self, Vec<FieldError>> {
        if let Some(address) = &mut self.email {
            *address = filter::email(address).map_err(|error| vec![error])?;
        }
        Ok(self)
    }
}

/// Lists users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "listUsers", params(UserFilter,
        PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<User>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<UserFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    let (status, email) = (request.filter.status, request.filter.email.clone());
    let question = move |page_request| ListUsers {
        scope,
        status: status.map(|status| status.text().to_owned()),
        email: email.clone(),
        page_request,
    };
    api.list(id, request, question, UserRow::key, User::from).await
}

/// Shows one user.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = inline(Id), Path, description = "The user's id"), RowParams, QueryHeaders),
    responses((status = 200, description = "The user", body = Envelope<User>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    api.row_as_of::<UserRow, User>(id, request, scope).await
}

/// Lists one user's orders.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/orders", tag = "users", operation_id = "listOrdersOfUser",
    params(("id" = inline(Id), Path, description = "The user's id"), order::OrderOfUserFilter,
        PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn orders(
    State(api): State<Api>,
    id: RequestId,
    Path(user_id): Path<Id>,
    request: ListRequest<order::OrderOfUserFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    let (user_id, status) = (user_id.get(), request.filter.status());
    let question = move |page_request| ListOrdersOfUser {
        scope,
        user_id,
        status: status.clone(),
        page_request,
    };
    api.list(id, request, question, OrderRow::key, Order::from).await
}
