//! The handler of `/api/v1/sales/products`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::filter;
use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, PageList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::product_sales::{ListProductSales, ProductSalesRow, ProductSalesSort};
use crate::view::product_sales::ProductSales;

/// The route of this resource. Its tag is that of all sales.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(products))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortProductSales {
    #[serde(rename = "units")]
    Units,
    #[serde(rename = "-units")]
    UnitsDesc,
    #[serde(rename = "orders")]
    Orders,
    #[serde(rename = "-orders")]
    OrdersDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ProductSalesFilter {
    /// Only sales of this product.
    #[param(required = false, inline)]
    product_id: Option<Id>,
    /// Only sales in this currency. It may be any that ISO 4217 lists or once listed.
    #[param(required = false, inline, value_type = CurrencyOfAnyTime)]
    currency: Option<String>,
    /// The sort of the list; `-` means descending. The default is `-units`.
    #[param(required = false, inline)]
    sort: Option<SortProductSales>,
}

impl Filter for ProductSalesFilter {
    type Sort = ProductSalesSort;

    fn sort(&self) -> ProductSalesSort {
        match self.sort {
            Some(SortProductSales::Units) => ProductSalesSort::UnitsAsc,
            None | Some(SortProductSales::UnitsDesc) => ProductSalesSort::UnitsDesc,
            Some(SortProductSales::Orders) => ProductSalesSort::OrdersAsc,
            Some(SortProductSales::OrdersDesc) => ProductSalesSort::OrdersDesc,
        }
    }

    fn checked(self) -> Result<Self, Vec<FieldError>> {
        match self.currency.as_deref().map_or(Ok(()), filter::currency) {
            Ok(()) => Ok(self),
            Err(error) => Err(vec![error]),
        }
    }
}

/// Lists the sales of each product.
#[utoipa::path(
    get, path = "/api/v1/sales/products", tag = "sales", operation_id = "listProductSales",
    params(ProductSalesFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<ProductSales>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn products(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<ProductSalesFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let question = ListProductSales {
        product_id: request.filter.product_id.map(Id::get),
        currency: request.filter.currency.clone(),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let (key, body) = (ProductSalesRow::key, ProductSales::from);
        let list = PageList { question, key, body, fields: &["product_id", "currency"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, ProductSalesRow::key, ProductSales::from)
}
