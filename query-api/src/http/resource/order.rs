//! Orders: the filters and the questions of all versions.

use access::Permission;
use axum::response::Response;
use postgres_kit::Columns;
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use service_kit::http::RequestId;
use service_kit::input::Id;
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::http::Api;
use crate::http::answer::RowRequest;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::LiveList;
use crate::live::matches;
use crate::read::order::{ListOrders, OrderRow, OrderSort};
use crate::view::order::OrderStatus;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "orders", description = "Orders with their lines")))]
pub(in crate::http) struct Tag;

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
    /// The sort of the list; `-` means descending. The default is `-created_at`.
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

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn list<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<OrderFilter>,
    body: fn(OrderRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    let user_id = request.filter.user_id.map(Id::get);
    let status = request.filter.status.map(|status| status.text().to_owned());
    let matches = matches::orders(status.clone());
    let question = move |page_request| ListOrders {
        scope,
        user_id,
        status: status.clone(),
        columns: Columns::ALL,
        page_request,
    };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let list = LiveList { owner: user_id, matches, question, key: OrderRow::key, body };
        return api.follow_list(live, request, list, (Permission::OrdersRead, scope)).await;
    }
    api.list(id, request, question, OrderRow::key, body).await
}

/// Answers with one row. `body` makes the form that clients see.
pub(in crate::http) async fn find<B: Serialize + 'static>(
    api: &Api,
    id: RequestId,
    mut request: RowRequest,
    body: fn(OrderRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.scope(&request.caller, Permission::OrdersRead)?;
    if let Some(live) = request.live.take() {
        return api.follow_row(live, request, (Permission::OrdersRead, scope), body).await;
    }
    api.row_as_of(id, request, scope, body).await
}

const fn sort(given: Option<SortOrders>) -> OrderSort {
    match given {
        Some(SortOrders::CreatedAt) => OrderSort::CreatedAtAsc,
        None | Some(SortOrders::CreatedAtDesc) => OrderSort::CreatedAtDesc,
    }
}
