//! Users: the filters and the questions of all versions.

use access::Permission;
use axum::response::Response;
use postgres_kit::Columns;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::schema::EmailAddress;
use service_kit::{FieldError, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use uuid::Uuid;

use super::order::OrderOfUserFilter;
use crate::filter;
use crate::http::Api;
use crate::http::answer::RowRequest;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::LiveList;
use crate::live::matches;
use crate::read::order::{ListOrders, ListOrdersOfUser, OrderRow};
use crate::read::table::Find;
use crate::read::user::{ListUsers, UserRow, UserSort};
use crate::view::user::UserStatus;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "users", description = "Users and what they bought")))]
pub(in crate::http) struct Tag;

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
pub(in crate::http) struct UserFilter {
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

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn list<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<UserFilter>,
    body: fn(UserRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    let status = request.filter.status.map(|status| status.text().to_owned());
    let email = request.filter.email.clone();
    let matches = matches::users(status.clone(), email.clone());
    let question = move |page_request| ListUsers {
        scope,
        status: status.clone(),
        email: email.clone(),
        columns: Columns::ALL,
        page_request,
    };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let list = LiveList { owner: None, matches, question, key: UserRow::key, body };
        return api.follow_list(live, request, list, (Permission::UsersRead, scope)).await;
    }
    api.list(id, request, question, UserRow::key, body).await
}

/// Answers with one row. `body` makes the form that clients see.
pub(in crate::http) async fn find<B: Serialize + 'static>(
    api: &Api,
    id: RequestId,
    mut request: RowRequest,
    body: fn(UserRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::UsersRead)?;
    if let Some(live) = request.live.take() {
        return api.follow_row(live, request, (Permission::UsersRead, scope), body).await;
    }
    api.row_as_of(id, request, scope, body).await
}

/// Answers with a user's orders. `body` makes the form that clients see.
pub(in crate::http) async fn orders<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    user_id: Uuid,
    mut request: ListRequest<OrderOfUserFilter>,
    body: fn(OrderRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    let status = request.filter.status();
    if let Some(live) = request.live.take() {
        // Whether the user exists is asked once: users never go.
        let user = api.ask(Find::<UserRow>::new(user_id, scope), request.wait).await?;
        user.data.ok_or_else(Problem::not_found)?;
        let (owner, matches) = (Some(user_id), matches::orders(status.clone()));
        let page_request = request.page_request.clone();
        let question =
            ListOrders { scope, user_id: owner, status, columns: Columns::ALL, page_request };
        let list = LiveList { owner, matches, question, key: OrderRow::key, body };
        return api.follow_list(live, request, list, (Permission::OrdersRead, scope)).await;
    }
    let question = move |page_request| ListOrdersOfUser {
        scope,
        user_id,
        status: status.clone(),
        page_request,
    };
    api.list(id, request, question, OrderRow::key, body).await
}
