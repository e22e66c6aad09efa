//! The handler of `/api/v2/sales/products`: money is an object.

use axum::extract::State;
use axum::response::Response;
use service_kit::http::RequestId;
use service_kit::{Envelope, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{ListRequest, PageParams};
use crate::http::live::LiveHeaders;
use crate::http::resource::product_sales::{self, ProductSalesFilter};
use crate::view::v2::product_sales::ProductSales;
use crate::wait::{QueryHeaders, WaitParams};

/// The route of this resource. Its tag is that of all sales.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(products))
}

/// Lists the sales of each product.
#[utoipa::path(
    get, path = "/sales/products", tag = "sales", operation_id = "listProductSales",
    params(ProductSalesFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<ProductSales>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn products(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<ProductSalesFilter>,
) -> Result<Response, Problem> {
    product_sales::products(&api, id, request, ProductSales::from).await
}
