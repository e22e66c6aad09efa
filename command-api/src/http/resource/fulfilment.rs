//! The handlers of `/api/vN/orders` for what happens after the confirmation: payment, shipment and
//! delivery. Refunds differ from one version to the next.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::application::use_case::{
    Delivery, Payment, RecordInput, RecordOrderInput, RequestPayment, Shipment,
};
use crate::http::answer::Changed;
use crate::http::received::{Received, ReceivedBare};
use crate::http::text::RecordReason;
use crate::http::{Api, present};

/// The routes of this part of the resource.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(request_payment))
        .routes(routes!(record_payment))
        .routes(routes!(ship))
        .routes(routes!(deliver))
}

/// Why staff record something about an order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecordBody {
    /// The reason, in one line. It must not be about a person: it is never erased.
    #[schema(value_type = RecordReason)]
    reason: String,
    /// The reference of a proof in another system, such as the number of a gateway's payment.
    #[serde(default, deserialize_with = "present")]
    #[schema(pattern = "^[!-~]{1,200}$", nullable = false, example = "pay_4711")]
    evidence: Option<String>,
}

impl RecordBody {
    fn input(self) -> RecordInput {
        RecordInput { reason: self.reason, evidence: self.evidence }
    }
}

/// Ask to pay a confirmed order. A repeat changes nothing.
#[utoipa::path(
    post, path = "/orders/{id}/request-payment", operation_id = "requestPayment", tag = "orders",
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The wish is noted", body = Envelope<Changed>)),
)]
async fn request_payment(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    api.change(RequestPayment { order_id: order_id.get() }, received.about).await
}

/// Record that a confirmed order was paid in whole. Nobody does that for their own orders.
#[utoipa::path(
    post, path = "/orders/{id}/record-payment", operation_id = "recordPayment", tag = "orders",
        request_body = RecordBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The payment is recorded", body = Envelope<Changed>)),
)]
async fn record_payment(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<RecordBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = RecordOrderInput::<Payment>::new(order_id.get(), body.input());
    api.change(input, about).await
}

/// Record that a paid order was shipped. Its units leave the stock.
#[utoipa::path(
    post, path = "/orders/{id}/ship", operation_id = "shipOrder", tag = "orders",
        request_body = RecordBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The shipment is recorded", body = Envelope<Changed>)),
)]
async fn ship(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<RecordBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = RecordOrderInput::<Shipment>::new(order_id.get(), body.input());
    api.change(input, about).await
}

/// Record that a shipped order has arrived.
#[utoipa::path(
    post, path = "/orders/{id}/deliver", operation_id = "deliverOrder", tag = "orders",
        request_body = RecordBody,
    params(("id" = inline(Id), Path, description = "The order's id")),
    responses((status = 200, description = "The delivery is recorded", body = Envelope<Changed>)),
)]
async fn deliver(
    State(api): State<Api>,
    Path(order_id): Path<Id>,
    received: Received<RecordBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = RecordOrderInput::<Delivery>::new(order_id.get(), body.input());
    api.change(input, about).await
}
