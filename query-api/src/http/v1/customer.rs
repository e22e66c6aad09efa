//! The handlers of `/api/v1/customers`: money is a decimal string.

use axum::extract::State;
use axum::response::Response;
use service_kit::http::RequestId;
use service_kit::{Envelope, Problem};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{ListRequest, PageParams};
use crate::http::live::LiveHeaders;
use crate::http::resource::customer::{self, CustomerFilter};
use crate::view::customer::CustomerAtRisk;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(customer::Tag::openapi()).routes(routes!(at_risk))
}

/// Lists customers by when their next order is due.
///
/// It has the active users who have ordered.
#[utoipa::path(
    get, path = "/customers/at-risk", tag = "customers",
    operation_id = "listCustomersAtRisk",
    params(CustomerFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<CustomerAtRisk>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn at_risk(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<CustomerFilter>,
) -> Result<Response, Problem> {
    customer::at_risk(&api, id, request, CustomerAtRisk::from).await
}
