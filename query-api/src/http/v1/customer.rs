//! The handlers of `/api/v1/customers`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Time;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, PageList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::customer::{CustomerRow, CustomerSort, ListCustomersAtRisk};
use crate::view::customer::CustomerAtRisk;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "customers", description = "How customers buy")))]
struct Tag;

/// The routes of this resource.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(at_risk))
}

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
struct CustomerFilter {
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

/// Lists customers by when their next order is due.
///
/// It has the active users who have ordered.
#[utoipa::path(
    get, path = "/api/v1/customers/at-risk", tag = "customers",
    operation_id = "listCustomersAtRisk",
    params(CustomerFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<CustomerAtRisk>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn at_risk(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<CustomerFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let question = ListCustomersAtRisk {
        due_before: request.filter.due_before.map(Time::get),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let (key, body) = (CustomerRow::key, CustomerAtRisk::from);
        let list = PageList { question, key, body, fields: &["user_id"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, CustomerRow::key, CustomerAtRisk::from)
}
