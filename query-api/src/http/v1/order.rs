//! `/api/v1/orders`.

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::order::{FindOrder, LineRow, ListOrders, OrderRow, OrderSort};
use crate::view::money::decimal;

/// An order with its lines.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Order {
    id: Uuid,
    user_id: Uuid,
    #[schema(value_type = OrderStatus)]
    status: String,
    /// Of all prices.
    #[schema(example = "USD")]
    currency: String,
    /// Of all lines.
    #[schema(example = "29.34")]
    total: String,
    /// Of all lines.
    units: i64,
    lines: Vec<Line>,
    /// An import's date, else the confirmation's.
    #[schema(required = true)]
    ordered_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    confirmed_at: Option<DateTime<Utc>>,
    #[schema(required = true)]
    cancelled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i64,
}

/// A line of an order.
#[derive(Debug, Serialize, ToSchema)]
struct Line {
    #[serde(rename = "line_id")]
    id: Uuid,
    product_id: Uuid,
    /// The product's name when it was ordered.
    product_name: String,
    quantity: i64,
    /// Of one.
    #[schema(example = "14.67")]
    unit_price: String,
    #[schema(example = "USD")]
    currency: String,
}

/// How far an order is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum OrderStatus {
    Pending,
    Confirmed,
    Cancelled,
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
pub(in crate::http) struct OrderFilter {
    /// Only orders of this user.
    #[param(required = false, inline)]
    user_id: Option<Id>,
    /// Only orders with this status.
    #[param(required = false, inline)]
    status: Option<OrderStatus>,
    /// The order of the list; `-` means descending. By default `-created_at`.
    #[param(required = false, inline)]
    sort: Option<SortOrders>,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OrderOfUserFilter {
    /// Only orders with this status.
    #[param(required = false, inline)]
    status: Option<OrderStatus>,
    /// The order of the list; `-` means descending. By default `-created_at`.
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
        PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Order>>),
              (status = 304, description = "The caller has it already"), Failures)
)]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<OrderFilter>,
) -> Result<Response, Problem> {
    let question = ListOrders {
        user_id: request.filter.user_id.map(Id::get),
        status: request.filter.status.map(|status| status.text().to_owned()),
        page_request: request.page_request.clone(),
    };
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, key, Order::from)
}

/// Shows one order.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", operation_id = "getOrder",
    params(("id" = inline(Id), Path, description = "The order's id"), WaitParams, QueryHeaders),
    responses((status = 200, description = "The order", body = Envelope<Order>),
              (status = 304, description = "The caller has it already"), Failures)
)]
pub(in crate::http) async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    let question = FindOrder::new(request.id);
    api.row(id, request, question, |row| {
        let (version, position) = (row.version, row.position);
        (Order::from(row), version, position)
    })
    .await
}

const fn sort(given: Option<SortOrders>) -> OrderSort {
    match given {
        Some(SortOrders::CreatedAt) => OrderSort::CreatedAtAsc,
        None | Some(SortOrders::CreatedAtDesc) => OrderSort::CreatedAtDesc,
    }
}

pub(super) fn key(row: &OrderRow, sort: OrderSort) -> Value {
    match sort {
        OrderSort::CreatedAtAsc | OrderSort::CreatedAtDesc => json!([row.created_at, row.id]),
    }
}

impl OrderStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Line {
    fn new(row: LineRow, currency: &str) -> Self {
        Self {
            id: row.line_id,
            product_id: row.product_id,
            product_name: row.product_name,
            quantity: row.quantity,
            unit_price: decimal(row.unit_price_minor, currency),
            currency: currency.to_owned(),
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            status: row.status,
            total: decimal(row.total_minor, &row.currency),
            units: row.units,
            lines: row.lines.0.into_iter().map(|line| Line::new(line, &row.currency)).collect(),
            currency: row.currency,
            ordered_at: row.ordered_at,
            confirmed_at: row.confirmed_at,
            cancelled_at: row.cancelled_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}
