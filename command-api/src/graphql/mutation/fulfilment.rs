//! The mutations of what happens to an order: staff record it, with a reason and a proof.

use async_graphql::{Context, ID, InputObject, Object};

use super::order::on_order;
use crate::application::use_case::{
    Delivery, Payment, RecordInput, RecordOrderInput, RefundOrderInput, Shipment,
};
use crate::graphql::command::{Answer, Options};
use crate::graphql::payload::OrderPayload;

/// A record of what happened to an order.
#[derive(InputObject)]
struct OrderRecord {
    /// The reason, in one line. It must not be about a person: it is never erased.
    reason: String,
    /// The reference of a proof in another system, such as the number of a gateway's payment.
    evidence: Option<String>,
}

impl OrderRecord {
    fn input(self) -> RecordInput {
        RecordInput { reason: self.reason, evidence: self.evidence }
    }
}

/// A refund of an order.
#[derive(InputObject)]
struct RefundOrder {
    /// The amount, as a decimal string. All refunds together are at most what was paid.
    amount: String,
    /// The currency of the amount: that of the order.
    currency: String,
    /// The reason, in one line. It must not be about a person: it is never erased.
    reason: String,
    /// The reference of a proof in another system, such as the number of a gateway's refund.
    evidence: Option<String>,
}

#[derive(Default)]
pub(super) struct FulfilmentMutation;

#[Object]
impl FulfilmentMutation {
    /// Records that a confirmed order was paid.
    async fn record_payment(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: OrderRecord,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |order_id| RecordOrderInput::<Payment>::new(order_id, input.input());
        on_order(ctx, &order_id, input, options).await
    }

    /// Records that a paid order was shipped. Its units leave the stock.
    async fn ship_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: OrderRecord,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |order_id| RecordOrderInput::<Shipment>::new(order_id, input.input());
        on_order(ctx, &order_id, input, options).await
    }

    /// Records that a shipped order was delivered.
    async fn deliver_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: OrderRecord,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |order_id| RecordOrderInput::<Delivery>::new(order_id, input.input());
        on_order(ctx, &order_id, input, options).await
    }

    /// Records that money was paid back, all of it or a part.
    async fn refund_order(
        &self,
        ctx: &Context<'_>,
        order_id: ID,
        input: RefundOrder,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<OrderPayload> {
        let RefundOrder { amount, currency, reason, evidence } = input;
        let record = RecordInput { reason, evidence };
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |order_id| RefundOrderInput { order_id, amount, currency, record };
        on_order(ctx, &order_id, input, options).await
    }
}
