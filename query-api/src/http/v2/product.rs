//! The handlers of `/api/v2/products`: money is an object.

use axum::extract::State;
use axum::response::Response;
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::{Failures, RowParams, RowRequest};
use crate::http::list::{ListRequest, PageParams};
use crate::http::live::LiveHeaders;
use crate::http::resource::product::{self, ProductFilter};
use crate::view::v2::product::Product;
use crate::wait::{QueryHeaders, WaitParams};

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(product::Tag::openapi()).routes(routes!(list)).routes(routes!(find))
}

/// Lists products.
#[utoipa::path(
    get, path = "/products", tag = "products", operation_id = "listProducts",
        params(ProductFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<Product>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<ProductFilter>,
) -> Result<Response, Problem> {
    product::list(&api, id, request, Product::from).await
}

/// Shows one product.
#[utoipa::path(
    get, path = "/products/{id}", tag = "products", operation_id = "getProduct",
    params(("id" = inline(Id), Path, description = "The product's id"), RowParams, QueryHeaders,
        LiveHeaders),
    responses((status = 200, description = "The product", body = Envelope<Product>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    product::find(&api, id, request, Product::from).await
}
