//! The handlers of `/api/v1/sales`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Day;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::filter;
use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{Events, LiveHeaders, PageList};
use crate::http::wait::{QueryHeaders, WaitParams};
use crate::read::sales::{DailySalesRow, DailySalesSort, ListDailySales};
use crate::view::sales::DailySales;

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "sales", description = "Daily sales")))]
struct Tag;

/// The routes of this resource.
pub(in crate::http) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(daily))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortDays {
    #[serde(rename = "day")]
    Day,
    #[serde(rename = "-day")]
    DayDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct DailySalesFilter {
    /// Only days from this one on, inclusive.
    #[param(required = false, inline)]
    from: Option<Day>,
    /// Only days up to this one, inclusive; not before `from` (`contradicts-from`).
    #[param(required = false, inline)]
    to: Option<Day>,
    /// Only sales in this currency. It may be any that ISO 4217 lists or once listed.
    #[param(required = false, inline, value_type = CurrencyOfAnyTime)]
    currency: Option<String>,
    /// The sort of the list; `-` means descending. The default is `-day`.
    #[param(required = false, inline)]
    sort: Option<SortDays>,
}

impl Filter for DailySalesFilter {
    type Sort = DailySalesSort;

    fn sort(&self) -> DailySalesSort {
        match self.sort {
            Some(SortDays::Day) => DailySalesSort::DayAsc,
            None | Some(SortDays::DayDesc) => DailySalesSort::DayDesc,
        }
    }

    fn checked(self) -> Result<Self, Vec<FieldError>> {
        let days = filter::days(self.from.map(Day::get), self.to.map(Day::get));
        let currency = self.currency.as_deref().map_or(Ok(()), filter::currency);
        let errors: Vec<_> = [days, currency].into_iter().filter_map(Result::err).collect();
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }
}

/// Lists the sales of each day.
#[utoipa::path(
    get, path = "/api/v1/sales/daily", tag = "sales", operation_id = "listDailySales",
    params(DailySalesFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<DailySales>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn daily(
    State(api): State<Api>,
    id: RequestId,
    Events(live): Events,
    request: ListRequest<DailySalesFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let question = ListDailySales {
        from: request.filter.from.map(Day::get),
        to: request.filter.to.map(Day::get),
        currency: request.filter.currency.clone(),
        page_request: request.page_request.clone(),
    };
    if let Some(live) = live {
        let (key, body) = (DailySalesRow::key, DailySales::from);
        let list = PageList { question, key, body, fields: &["day", "currency"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    let view = api.ask(question, request.wait).await?;
    api.list(id, &request, view, DailySalesRow::key, DailySales::from)
}
