//! The sales of days: the filter and the question of all versions.

use access::Permission;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::input::{Day, Text};
use service_kit::{FieldError, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};

use crate::filter;
use crate::http::Api;
use crate::http::list::{Filter, ListRequest};
use crate::http::live::PageList;
use crate::read::past::AsOf;
use crate::read::sales::{DailySalesRow, DailySalesSort, ListDailySales};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "sales", description = "Daily sales")))]
pub(in crate::http) struct Tag;

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
pub(in crate::http) struct DailySalesFilter {
    /// Only days from this one on, inclusive.
    #[param(required = false, inline)]
    from: Option<Day>,
    /// Only days up to this one, inclusive; not before `from` (`contradicts-from`).
    #[param(required = false, inline)]
    to: Option<Day>,
    /// Only sales in this currency. It may be any that ISO 4217 lists or once listed.
    #[param(required = false, inline, value_type = CurrencyOfAnyTime)]
    currency: Option<String>,
    /// Shows the days as they were at this moment: a position of the log, or a time. A moment that
    /// is still to come is refused (`in-the-future`). Live updates have no `as_of`
    /// (`contradicts-accept`).
    #[param(required = false, inline, value_type = AsOf)]
    as_of: Option<Text<AsOf>>,
    /// The sort of the list; `-` means descending. The default is `-day`.
    #[param(required = false, inline)]
    sort: Option<SortDays>,
}

impl Filter for DailySalesFilter {
    type Sort = DailySalesSort;
    const AS_OF: bool = true;

    fn as_of(&self) -> Option<AsOf> {
        self.as_of.as_ref().map(|Text(as_of)| *as_of)
    }

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

/// Answers with a list. `body` makes the form that clients see.
pub(in crate::http) async fn daily<B: Serialize + ToSchema + 'static>(
    api: &Api,
    id: RequestId,
    mut request: ListRequest<DailySalesFilter>,
    body: fn(DailySalesRow) -> B,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SalesRead)?;
    let [from, to] = [request.filter.from, request.filter.to].map(|day| day.map(Day::get));
    let (currency, as_of) = (request.filter.currency.clone(), request.filter.as_of());
    let question = move |page_request| ListDailySales {
        from,
        to,
        currency: currency.clone(),
        as_of,
        page_request,
    };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let key = DailySalesRow::key;
        let list = PageList { question, key, body, fields: &["day", "currency"] };
        return api.follow_page(live, request, list, Permission::SalesRead).await;
    }
    api.list(id, request, question, DailySalesRow::key, body).await
}
