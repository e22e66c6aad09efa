//! The handlers of `/audit`.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::{Id, Time};
use service_kit::{Envelope, FieldError, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Api;
use crate::http::answer::Failures;
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::http::live::{LiveHeaders, PageList};
use crate::read::audit::{AuditRow, AuditSort, ListAudit};
use crate::view::audit::AuditEntry;
use crate::wait::{QueryHeaders, WaitParams};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "audit", description = "Who did what")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(list))
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortAudit {
    #[serde(rename = "recorded_at")]
    RecordedAt,
    #[serde(rename = "-recorded_at")]
    RecordedAtDesc,
}

#[derive(Debug, Clone, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditFilter {
    /// Only what this principal did, such as `user:0190b3a2-0000-7000-8000-000000000001`.
    #[param(required = false, pattern = r"^[^\u0000\ufffd]*$")]
    principal: Option<String>,
    /// Only what was done with this session or API key.
    #[param(required = false, inline)]
    credential_id: Option<Id>,
    /// Only events of this type, such as `order.confirmed`.
    #[param(required = false, pattern = r"^[^\u0000\ufffd]*$")]
    event_type: Option<String>,
    /// Only what happened to this thing, such as `order-0190b3a2-0000-7000-8000-000000000003`.
    #[param(required = false, pattern = r"^[^\u0000\ufffd]*$")]
    stream: Option<String>,
    /// Only events from this time on, inclusive.
    #[param(required = false, inline)]
    from: Option<Time>,
    /// Only events up to this time, inclusive; not before `from` (`contradicts-from`).
    #[param(required = false, inline)]
    to: Option<Time>,
    /// The sort of the list; `-` means descending. The default is `-recorded_at`.
    #[param(required = false, inline)]
    sort: Option<SortAudit>,
}

impl Filter for AuditFilter {
    type Sort = AuditSort;

    fn sort(&self) -> AuditSort {
        match self.sort {
            Some(SortAudit::RecordedAt) => AuditSort::RecordedAtAsc,
            None | Some(SortAudit::RecordedAtDesc) => AuditSort::RecordedAtDesc,
        }
    }

    fn checked(self) -> Result<Self, Vec<FieldError>> {
        if self.from.is_some_and(|from| self.to.is_some_and(|to| to < from)) {
            let contradicts =
                FieldError::new("/to", "contradicts-from", "the time is before that of `from`");
            return Err(vec![contradicts]);
        }
        Ok(self)
    }
}

/// Lists who did what.
///
/// It has every event of users, orders, products and pricing. Log-ins, roles and API keys are not
/// in the log.
#[utoipa::path(
    get, path = "/audit", tag = "audit", operation_id = "listAudit",
    params(AuditFilter, PageParams, WaitParams, QueryHeaders, LiveHeaders),
    responses((status = 200, description = "A page of the list",
        body = Envelope<Vec<AuditEntry>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    mut request: ListRequest<AuditFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::AuditRead)?;
    let filter = request.filter.clone();
    let question = move |page_request| ListAudit {
        principal: filter.principal.clone(),
        credential_id: filter.credential_id.map(Id::get),
        event_type: filter.event_type.clone(),
        stream: filter.stream.clone(),
        from: filter.from.map(Time::get),
        to: filter.to.map(Time::get),
        page_request,
    };
    if let Some(live) = request.live.take() {
        let question = question(request.page_request.clone());
        let (key, body) = (AuditRow::key, AuditEntry::from);
        let list = PageList { question, key, body, fields: &["id"] };
        return api.follow_page(live, request, list, Permission::AuditRead).await;
    }
    api.list(id, request, question, AuditRow::key, AuditEntry::from).await
}
