//! The sales of products: the filter and the question of all versions.

use access::Permission;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::{FieldError, Problem};
use utoipa::{IntoParams, ToSchema};

use crate::filter;
use crate::http::Api;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::PageList;
use crate::read::product_sales::{ListProductSales, ProductSalesRow, ProductSalesSort};

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
pub(in crate::http) struct ProductSalesFilter {
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

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn products<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<ProductSalesFilter>,
    body: fn(ProductSalesRow) -> B,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let product_id = request.filter.product_id.map(Id::get);
    let currency = request.filter.currency.clone();
    let question = move |page_request| ListProductSales {
        product_id,
        currency: currency.clone(),
        page_request,
    };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let key = ProductSalesRow::key;
        let list = PageList { question, key, body, fields: &["product_id", "currency"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    api.list(id, request, question, ProductSalesRow::key, body).await
}
