//! `/api/v1/users`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use formats::email::{self, EmailError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::extract::Path;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::input::schema::email_address;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::order::{self, Order};
use crate::http::Api;
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::View;
use crate::read::order::ListOrdersOfUser;
use crate::read::user::{FindUser, ListUsers, UserRow, UserSort};
use crate::view::money::decimal;

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct User {
    id: Uuid,
    /// Null once the user's personal data were erased.
    #[schema(required = true)]
    email: Option<String>,
    /// Null once the user's personal data were erased.
    #[schema(required = true)]
    name: Option<String>,
    #[schema(value_type = UserStatus)]
    status: String,
    /// How many orders were confirmed.
    order_count: i64,
    /// Of confirmed orders, by currency.
    #[schema(example = json!({"USD": "87.15"}))]
    total_spent: BTreeMap<String, String>,
    /// The latest date of a confirmed order.
    #[schema(required = true)]
    last_order_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

/// Whether a user can order.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum UserStatus {
    Active,
    Deactivated,
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
pub(in crate::http) struct UserFilter {
    /// Only users with this status.
    #[param(required = false, inline)]
    status: Option<UserStatus>,
    /// Only the user with this address; letters of any case are one address.
    #[param(required = false, schema_with = email_address)]
    email: Option<String>,
    /// The order of the list; `-` means descending. By default `-created_at`.
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
            email::check(address)
                .map_err(|error| vec![FieldError::new("/email", code(error), error.to_string())])?;
            *address = email::normalised(address);
        }
        Ok(self)
    }
}

/// Lists users.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "users", operation_id = "listUsers", params(UserFilter,
        PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<User>>),
              (status = 304, description = "The caller has it already"), Failures)
)]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<UserFilter>,
) -> Result<Response, Problem> {
    let question = ListUsers {
        status: request.filter.status.map(|status| status.text().to_owned()),
        email: request.filter.email.clone(),
        page_request: request.page_request.clone(),
    };
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, key, User::from)
}

/// Shows one user.
#[utoipa::path(
    get, path = "/api/v1/users/{id}", tag = "users", operation_id = "getUser",
    params(("id" = inline(Id), Path, description = "The user's id"), WaitParams, QueryHeaders),
    responses((status = 200, description = "The user", body = Envelope<User>),
              (status = 304, description = "The caller has it already"), Failures)
)]
pub(in crate::http) async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    let question = FindUser::new(request.id);
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
        PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller has it already"), Failures)
)]
pub(in crate::http) async fn orders(
    State(api): State<Api>,
    id: RequestId,
    Path(user_id): Path<Id>,
    request: ListRequest<order::OrderOfUserFilter>,
) -> Result<Response, Problem> {
    let question = ListOrdersOfUser {
        user_id: user_id.get(),
        status: request.filter.status(),
        page_request: request.page_request.clone(),
    };
    let view = api.ask(question, request.wait).await?;
    let data = view.data.ok_or_else(Problem::not_found)?;
    api.list(id, &request, View { data, seen: view.seen }, order::key, Order::from)
}

impl UserStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

const fn code(error: EmailError) -> &'static str {
    match error {
        EmailError::TooLong => "email/too-long",
        EmailError::Malformed => "email/malformed",
    }
}

fn key(row: &UserRow, sort: UserSort) -> Value {
    match sort {
        UserSort::CreatedAtAsc | UserSort::CreatedAtDesc => json!([row.created_at, row.id]),
        UserSort::OrderCountAsc | UserSort::OrderCountDesc => json!([row.order_count, row.id]),
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let total_spent = row.total_spent.0.into_iter().map(|(currency, minor)| {
            let amount = decimal(minor, &currency);
            (currency, amount)
        });
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            status: row.status,
            order_count: row.order_count,
            total_spent: total_spent.collect(),
            last_order_at: row.last_order_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
