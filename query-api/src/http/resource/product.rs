//! Products: the filters and the questions of all versions.

use access::Permission;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::Problem;
use service_kit::http::RequestId;
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::http::Api;
use crate::http::answer::RowRequest;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::LiveList;
use crate::live::matches;
use crate::read::product::{ListProducts, ProductRow, ProductSort};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "products", description = "Products with price and stock")))]
pub(in crate::http) struct Tag;

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
pub(in crate::http) struct ProductFilter {
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

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn list<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<ProductFilter>,
    body: fn(ProductRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::ProductsRead)?;
    let name = request.filter.name.clone();
    let matches = matches::products(name.clone());
    let question = move |page_request| ListProducts { name: name.clone(), page_request };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let list = LiveList { owner: None, matches, question, key: ProductRow::key, body };
        return api.follow_list(live, request, list, (Permission::ProductsRead, scope)).await;
    }
    api.list(id, request, question, ProductRow::key, body).await
}

/// Answers with one row. `body` makes the form that clients see.
pub(in crate::http) async fn find<B: Serialize + 'static>(
    api: &Api,
    id: RequestId,
    mut request: RowRequest,
    body: fn(ProductRow) -> B,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::ProductsRead)?;
    if let Some(live) = request.live.take() {
        return api.follow_row(live, request, (Permission::ProductsRead, scope), body).await;
    }
    api.row_as_of(id, request, scope, body).await
}
