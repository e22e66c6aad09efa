//! The handlers of `/api/v1/products`.

use std::sync::Arc;

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, LiveList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::live::Matches;
use crate::read::product::{FindProduct, ListProducts, ProductRow, ProductSort};
use crate::view::product::Product;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "products", description = "Products with price and stock")))]
struct Tag;

/// The routes of this resource.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(list)).routes(routes!(find))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortProducts {
    #[serde(rename = "created_at")]
    CreatedAt,
    #[serde(rename = "-created_at")]
    CreatedAtDesc,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProductFilter {
    /// Only products with exactly this name.
    #[param(required = false, pattern = r"^[^\u0000\ufffd]*$")]
    name: Option<String>,
    /// The sort of the list; `-` means descending. The default is `-created_at`.
    #[param(required = false, inline)]
    sort: Option<SortProducts>,
}

impl Filter for ProductFilter {
    type Sort = ProductSort;

    fn sort(&self) -> ProductSort {
        match self.sort {
            Some(SortProducts::CreatedAt) => ProductSort::CreatedAtAsc,
            None | Some(SortProducts::CreatedAtDesc) => ProductSort::CreatedAtDesc,
            Some(SortProducts::Name) => ProductSort::NameAsc,
            Some(SortProducts::NameDesc) => ProductSort::NameDesc,
        }
    }
}

/// Lists products.
#[utoipa::path(
    get, path = "/api/v1/products", tag = "products", operation_id = "listProducts",
        params(ProductFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<Product>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<ProductFilter>,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::ProductsRead)?;
    let question = ListProducts {
        name: request.filter.name.clone(),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let named = question.name.clone().map(|name| -> Matches<ProductRow> {
            Arc::new(move |row: &ProductRow| row.name == name)
        });
        let list = LiveList::new((scope, None), named, question, ProductRow::key);
        return api.follow_list(live, request, list, (Permission::ProductsRead, scope)).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, ProductRow::key, Product::from)
}

/// Shows one product.
#[utoipa::path(
    get, path = "/api/v1/products/{id}", tag = "products", operation_id = "getProduct",
    params(("id" = inline(Id), Path, description = "The product's id"), WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "The product", body = Envelope<Product>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: RowRequest,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::ProductsRead)?;
    if let Some(live) = live {
        return api
            .follow_row::<ProductRow>(live, request, (Permission::ProductsRead, scope))
            .await;
    }
    let question = FindProduct::new(request.id, scope);
    api.row(id, request, question, |row| {
        let (version, position) = (row.version, row.position);
        (Product::from(row), version, position)
    })
    .await
}
