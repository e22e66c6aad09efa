//! The handlers of `/api/v1/users`.

use std::sync::Arc;

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
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, LiveList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::live::Matches;
use crate::read::View;
use crate::read::order::{ListOrders, ListOrdersOfUser, OrderRow};
use crate::read::user::{FindUser, ListUsers, UserRow, UserSort};
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
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<User>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<UserFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    let question = ListUsers {
        scope,
        status: request.filter.status.map(|status| status.text().to_owned()),
        email: request.filter.email.clone(),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let list = LiveList::new((scope, None), matching(&question), question, UserRow::key);
        return api.follow_list(live, request, list, (Permission::UsersRead, scope)).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, UserRow::key, User::from)
}

/// Whether a user has the status and the address that a list asks for.
fn matching(list: &ListUsers) -> Option<Matches<UserRow>> {
    let (status, email) = (list.status.clone(), list.email.clone());
    if status.is_none() && email.is_none() {
        return None;
    }
    // As the statement compares them: without case, in ASCII alone.
    let has_email = |row: &UserRow, email: &String| {
        row.email.as_ref().is_some_and(|address| address.to_ascii_lowercase() == *email)
    };
    Some(Arc::new(move |row: &UserRow| {
        status.as_ref().is_none_or(|status| row.status == *status)
            && email.as_ref().is_none_or(|email| has_email(row, email))
    }))
}

/// Shows one user.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = inline(Id), Path, description = "The user's id"), WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "The user", body = Envelope<User>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: RowRequest,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    if let Some(live) = live {
        return api.follow_row::<UserRow>(live, request, (Permission::UsersRead, scope)).await;
    }
    let question = FindUser::new(request.id, scope);
    api.row(id, request, question, |row| {
        let (version, position) = (row.version, row.position);
        (User::from(row), version, position)
    })
    .await
}

/// Lists one user's orders.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/orders", tag = "users", operation_id = "listOrdersOfUser",
    params(("id" = inline(Id), Path, description = "The user's id"), order::OrderOfUserFilter,
        PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn orders(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    Path(user_id): Path<Id>,
    request: ListRequest<order::OrderOfUserFilter>,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    if let Some(live) = live {
        // Whether the user exists is asked once: users never go.
        let user = api.ask(FindUser::new(user_id.get(), scope), request.wait).await?;
        user.data.ok_or_else(Problem::not_found)?;
        let question = ListOrders {
            scope,
            user_id: Some(user_id.get()),
            status: request.filter.status(),
            page_request: request.page_request.clone(),
        };
        let (visible, matches) = ((scope, question.user_id), order::with_status(&question));
        let list = LiveList::new(visible, matches, question, OrderRow::key);
        return api.follow_list(live, request, list, (Permission::OrdersRead, scope)).await;
    }
    let question = ListOrdersOfUser {
        scope,
        user_id: user_id.get(),
        status: request.filter.status(),
        page_request: request.page_request.clone(),
    };
    let view = api.ask(question, request.wait).await?;
    let data = view.data.ok_or_else(Problem::not_found)?;
    api.list(id, &request, View { data, seen: view.seen }, OrderRow::key, Order::from)
}
