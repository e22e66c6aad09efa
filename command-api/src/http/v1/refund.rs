//! The handler of `/api/v1/orders/{id}/refund`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::input::schema::CurrencyOfAnyTime;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{RecordInput, RefundOrderInput};
use crate::http::answer::Changed;
use crate::http::received::Received;
use crate::http::text::RecordReason;
use crate::http::{Api, present};

/// The routes of refunds.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(refund))
}

/// Money that was given back for an order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    /// The amount, as a decimal string, more than nothing (`money/zero`). All refunds together are
    /// at most what was paid.
    /// It has at most the decimals of its currency (`money/too-precise`), and is not too large
    /// (`money/too-large`).
    #[schema(pattern = r"^0*[0-9]{1,16}(\.[0-9]{1,4})?$", example = "9.99")]
    amount: String,
    /// The currency of the amount: that of the order.
    #[schema(value_type = CurrencyOfAnyTime)]
    currency: String,
    /// The reason, in one line. It must not be about a person: it is never erased.
    #[schema(value_type = RecordReason)]
    reason: String,
    /// The reference of a proof in another system, such as the number of a gateway's refund.
    #[serde(default, deserialize_with = "present")]
    #[schema(pattern = "^[!-~]{1,200}$", nullable = false, example = "refund_4712")]
    evidence: Option<String>,
}

/// Record that a part of what was paid for an order, or all of it, was given back.
#[utoipa::path(
    post, path = "/orders/{id}/refund", operation_id = "refundOrder", tag = "orders",
        request_body = RefundBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The refund is recorded", body = Envelope<Changed>)),
)]
async fn refund(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<RefundBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let RefundBody { amount, currency, reason, evidence } = body;
    let (order_id, record) = (order_id.get(), RecordInput { reason, evidence });
    api.change(RefundOrderInput { order_id, amount, currency, record }, about).await
}
