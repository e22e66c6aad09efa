//! The handlers of `/sagas`, in all versions. They are for operators.

use access::Permission;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use service_kit::http::RequestId;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::http::Api;
use crate::http::answer::{Failures, RowRequest};
use crate::http::list::{Filter, ListRequest, PageParams};
use crate::read::saga::{FindSaga, ListSagas, SagaRow, SagaSort};
use crate::wait::{QueryHeaders, WaitParams};

/// The tag of these operations in the OpenAPI document.
#[derive(OpenApi)]
#[openapi(tags((name = "sagas", description = "The flows that the process manager drives")))]
struct Tag;

/// The routes of this resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Tag::openapi()).routes(routes!(list)).routes(routes!(find))
}

/// A saga: a business flow of many steps.
#[derive(Debug, Serialize, ToSchema)]
struct Saga {
    /// The saga's id.
    id: Uuid,
    /// The kind of saga.
    #[schema(example = "order_fulfilment")]
    name: String,
    /// What it is about: for order fulfilment, the id of the order.
    key: String,
    /// The version of its steps.
    definition: i32,
    /// Where it stands.
    #[schema(value_type = SagaStatus)]
    status: String,
    /// The latest step. Null at the end.
    #[schema(required = true, example = "capture_payment")]
    step: Option<String>,
    /// The number of attempts that failed.
    failures: i64,
    /// Why it is undone. Null if it is not.
    #[schema(required = true)]
    reason: Option<String>,
    /// Why it waits for a person. Null if it does not.
    #[schema(required = true)]
    parked_for: Option<String>,
    /// The time of its start.
    started_at: DateTime<Utc>,
    /// The time of its end. Null before.
    #[schema(required = true)]
    ended_at: Option<DateTime<Utc>>,
    /// The time of the latest change.
    updated_at: DateTime<Utc>,
    /// The version of the saga. Each change raises it.
    version: i64,
}

/// Where a saga stands.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum SagaStatus {
    Running,
    Compensating,
    Completed,
    Compensated,
    Parked,
}

impl SagaStatus {
    const fn text(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Parked => "parked",
        }
    }
}

impl From<SagaRow> for Saga {
    fn from(row: SagaRow) -> Self {
        Self {
            id: row.id,
            name: row.saga,
            key: row.key,
            definition: row.definition,
            status: row.status,
            step: row.step,
            failures: row.failures,
            reason: row.reason,
            parked_for: row.parked_for,
            started_at: row.started_at,
            ended_at: row.ended_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
enum SortSagas {
    #[serde(rename = "started_at")]
    StartedAt,
    #[serde(rename = "-started_at")]
    StartedAtDesc,
}

#[derive(Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SagaFilter {
    /// Only sagas with this status.
    #[param(required = false, inline)]
    status: Option<SagaStatus>,
    /// Only the sagas about this order.
    #[param(required = false, inline)]
    key: Option<Id>,
    /// The sort of the list; `-` means descending. The default is `-started_at`.
    #[param(required = false, inline)]
    sort: Option<SortSagas>,
}

impl Filter for SagaFilter {
    type Sort = SagaSort;

    fn sort(&self) -> SagaSort {
        match self.sort {
            Some(SortSagas::StartedAt) => SagaSort::StartedAtAsc,
            None | Some(SortSagas::StartedAtDesc) => SagaSort::StartedAtDesc,
        }
    }
}

/// Lists sagas.
#[utoipa::path(
    get, path = "/sagas", tag = "sagas", operation_id = "listSagas",
    params(SagaFilter, PageParams, WaitParams, QueryHeaders),
    responses((status = 200, description = "A page of the list", body = Envelope<Vec<Saga>>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn list(
    State(api): State<Api>,
    id: RequestId,
    request: ListRequest<SagaFilter>,
) -> Result<Response, Problem> {
    api.everything(&request.caller, Permission::SagasOperate)?;
    let status = request.filter.status.map(|status| status.text().to_owned());
    let key = request.filter.key.map(|key| key.get().to_string());
    let question =
        move |page_request| ListSagas { status: status.clone(), key: key.clone(), page_request };
    api.list(id, request, question, SagaRow::sort_key, Saga::from).await
}

/// Shows one saga. Its timeline is an operation of the process manager.
#[utoipa::path(
    get, path = "/sagas/{id}", tag = "sagas", operation_id = "getSaga",
    params(("id" = inline(Id), Path, description = "The saga's id"), WaitParams, QueryHeaders),
    responses((status = 200, description = "The saga", body = Envelope<Saga>),
              (status = 304, description = "The caller's copy is still current"), Failures)
)]
async fn find(
    State(api): State<Api>,
    id: RequestId,
    request: RowRequest,
) -> Result<Response, Problem> {
    let scope = api.everything(&request.caller, Permission::SagasOperate)?;
    let question = FindSaga::new(request.id, scope);
    api.row(id, request, question, |row| {
        let (version, position) = (row.version, row.position);
        (Saga::from(row), version, position)
    })
    .await
}
