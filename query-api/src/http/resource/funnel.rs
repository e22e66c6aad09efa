//! The handler of `/sales/funnel`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Day;
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::filter;
use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{LiveHeaders, PageList};
use crate::read::funnel::{FunnelDayRow, FunnelSort, ListFunnel};
use crate::view::funnel::FunnelDay;
use crate::wait::{QueryHeaders, WaitParams};

/// The route of this resource. Its tag is that of all sales.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(funnel))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortFunnel {
    #[serde(rename = "day")]
    Day,
    #[serde(rename = "-day")]
    DayDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FunnelFilter {
    /// Only days from this one on, inclusive.
    #[param(required = false, inline)]
    from: Option<Day>,
    /// Only days up to this one, inclusive; not before `from` (`contradicts-from`).
    #[param(required = false, inline)]
    to: Option<Day>,
    /// The sort of the list; `-` means descending. The default is `-day`.
    #[param(required = false, inline)]
    sort: Option<SortFunnel>,
}

impl Filter for FunnelFilter {
    type Sort = FunnelSort;

    fn sort(&self) -> FunnelSort {
        match self.sort {
            Some(SortFunnel::Day) => FunnelSort::DayAsc,
            None | Some(SortFunnel::DayDesc) => FunnelSort::DayDesc,
        }
    }

    fn checked(self) -> Result<Self, Vec<FieldError>> {
        match filter::days(self.from.map(Day::get), self.to.map(Day::get)) {
            Ok(()) => Ok(self),
            Err(error) => Err(vec![error]),
        }
    }
}

/// Lists how far the orders came that were placed on each day.
#[utoipa::path(
    get, path = "/sales/funnel", tag = "sales", operation_id = "listOrderFunnel",
    params(FunnelFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<FunnelDay>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn funnel(
    State(api): State<Api>,
    id: RequestId,
    mut request: ListRequest<FunnelFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let [from, to] = [request.filter.from, request.filter.to].map(|day| day.map(Day::get));
    let question = move |page_request| ListFunnel { from, to, page_request };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let (key, body) = (FunnelDayRow::key, FunnelDay::from);
        let list = PageList { question, key, body, fields: &["day"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    api.list(id, request, question, FunnelDayRow::key, FunnelDay::from).await
}
