//! The handlers of `/api/v2/sales`: money is an object.

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
use crate::http::resource::sales::{self, DailySalesFilter};
use crate::view::v2::sales::DailySales;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(sales::Tag::openapi()).routes(routes!(daily))
}

/// Lists the sales of each day.
#[utoipa::path(
    get, path = "/sales/daily", tag = "sales", operation_id = "listDailySales",
    params(DailySalesFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<DailySales>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn daily(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<DailySalesFilter>,
) -> Result<Response, Problem> {
    sales::daily(&api, id, request, DailySales::from).await
}
