//! Customers at risk: the filter and the question of all versions.

use access::Permission;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use service_kit::http::RequestId;
use service_kit::input::Time;
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::http::Api;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::PageList;
use crate::read::customer::{CustomerRow, CustomerSort, ListCustomersAtRisk};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "customers", description = "How customers buy")))]
pub(in crate::http) struct Tag;

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortCustomers {
    #[serde(rename = "due_at")]
    DueAt,
    #[serde(rename = "-due_at")]
    DueAtDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CustomerFilter {
    /// Only those whose next order is due before this time. With the current time, these are the
    /// customers who are at risk now.
    #[param(required = false, inline)]
    due_before: Option<Time>,
    /// The sort of the list; `-` means descending. The default is `due_at`: longest overdue first.
    #[param(required = false, inline)]
    sort: Option<SortCustomers>,
}

impl Filter for CustomerFilter {
    type Sort = CustomerSort;

    fn sort(&self) -> CustomerSort {
        match self.sort {
            None | Some(SortCustomers::DueAt) => CustomerSort::DueAtAsc,
            Some(SortCustomers::DueAtDesc) => CustomerSort::DueAtDesc,
        }
    }
}

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn at_risk<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<CustomerFilter>,
    body: fn(CustomerRow) -> B,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let due_before = request.filter.due_before.map(Time::get);
    let question = move |page_request| ListCustomersAtRisk { due_before, page_request };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let key = CustomerRow::key;
        let list = PageList { question, key, body, fields: &["user_id"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    api.list(id, request, question, CustomerRow::key, body).await
}
