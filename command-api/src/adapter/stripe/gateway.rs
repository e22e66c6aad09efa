//! The port to a payment provider, fulfilled by Stripe's API.

use chrono::TimeDelta;
use domain::value::Money;
use uuid::Uuid;

use super::wire::{CALL_KEY, ORDER_ID, PaymentIntent, SAGA_ID, VOID, WireRefund};
use super::{
    HORIZON, Made, PAYMENTS, REFUNDS, STORED, Stripe, UNREADABLE, amount, failure, shown,
    undecided,
};
use crate::port::payment::{
    Authorisation, Payment, PaymentGateway, PaymentId, PaymentState, Refund, Repayment,
};
use crate::port::{Call, Fate, GatewayError};

#[async_trait::async_trait]
impl PaymentGateway for Stripe {
    fn horizon(&self) -> TimeDelta {
        HORIZON
    }

    async fn authorise(&self, call: &Call, asked: &Authorisation) -> Result<Payment, GatewayError> {
        let amount = amount::to_stripe(asked.amount)?.to_string();
        let currency = asked.amount.currency().code().to_ascii_lowercase();
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("capture_method", "manual"),
            ("confirm", "true"),
            ("payment_method", asked.method.expose()),
            // The customer is not there to prove who they are: a bank that wants it declines.
            ("off_session", "true"),
            ("payment_method_types[]", "card"),
            (&metadata(ORDER_ID), &asked.order.to_string()),
            (&metadata(SAGA_ID), &asked.saga.to_string()),
            (&metadata(CALL_KEY), &call.key.to_string()),
        ];
        let payment = self.change(call, PAYMENTS.to_owned(), &form, Made::Authorisation).await?;
        match payment.state {
            PaymentState::Declined(code) => Err(GatewayError::Declined { code }),
            _ => Ok(payment),
        }
    }

    async fn capture(
        &self,
        call: &Call,
        payment: &PaymentId,
        amount: Money,
    ) -> Result<Payment, GatewayError> {
        let amount = amount::to_stripe(amount)?.to_string();
        let path = format!("{PAYMENTS}/{}/capture", payment.as_str());
        let form = [("amount_to_capture", amount.as_str())];
        self.change(call, path, &form, Made::Capture(payment)).await
    }

    async fn release(&self, call: &Call, payment: &PaymentId) -> Result<Payment, GatewayError> {
        let path = format!("{PAYMENTS}/{}/cancel", payment.as_str());
        self.change(call, path, &[], Made::Release(payment)).await
    }

    async fn refund(&self, call: &Call, asked: &Repayment) -> Result<Refund, GatewayError> {
        let amount = amount::to_stripe(asked.amount)?.to_string();
        let form = [
            ("payment_intent", asked.payment.as_str()),
            ("amount", &amount),
            (&metadata(SAGA_ID), &asked.saga.to_string()),
            (&metadata(CALL_KEY), &call.key.to_string()),
        ];
        let answer = self.post(call, REFUNDS.to_owned(), &form).await?;
        if failure::is_stored_failure(&answer) {
            let found = self.refunds_of(call, &asked.payment).await.map_err(undecided)?;
            let found = found.into_iter().find(|refund| refund.key == Some(call.key));
            return found.ok_or_else(|| GatewayError::unknown(STORED));
        }
        if let Some(error) = failure::failure(&answer) {
            return Err(error);
        }
        let read: Option<WireRefund> = serde_json::from_slice(&answer.body).ok();
        let refund = read.and_then(|read| read.refund());
        refund.ok_or_else(|| GatewayError::unknown(UNREADABLE))
    }

    /// Takes the key for a payment that has no card and is not confirmed. Stripe refuses any other
    /// request under a key that was used.
    async fn forbid(&self, call: &Call, asked: &Authorisation) -> Result<Fate, GatewayError> {
        let amount = amount::to_stripe(asked.amount)?.to_string();
        let currency = asked.amount.currency().code().to_ascii_lowercase();
        let form = [
            ("amount", amount.as_str()),
            ("currency", &currency),
            ("capture_method", "manual"),
            ("confirm", "false"),
            ("payment_method_types[]", "card"),
            (&metadata(VOID), "true"),
            (&metadata(SAGA_ID), &asked.saga.to_string()),
        ];
        let answer = self.post(call, PAYMENTS.to_owned(), &form).await?;
        if failure::is_key_reused(&answer) {
            return Ok(Fate::Used);
        }
        if let Some(error) = failure::failure(&answer) {
            return Err(error);
        }
        let read: Option<PaymentIntent> = serde_json::from_slice(&answer.body).ok();
        let id = read.and_then(|intent| PaymentId::parse(&intent.id).ok());
        let id = id.ok_or_else(|| GatewayError::unknown(UNREADABLE))?;
        // It cannot take money, so what becomes of this call changes nothing.
        let key = Uuid::new_v5(&call.key, b"void");
        if let Err(error) = self.release(&Call { key, ..call.clone() }, &id).await {
            tracing::warn!(%error, "a payment without a card is left over at the provider");
        }
        Ok(Fate::Never)
    }

    async fn find(&self, call: &Call) -> Result<Option<Payment>, GatewayError> {
        shown(self.made_by(call).await?)
    }

    async fn read(&self, call: &Call, payment: &PaymentId) -> Result<Payment, GatewayError> {
        self.payment(call, payment).await
    }

    async fn refunds(
        &self,
        call: &Call,
        payment: &PaymentId,
    ) -> Result<Vec<Refund>, GatewayError> {
        self.refunds_of(call, payment).await
    }
}

/// The name of a form field in the metadata of an object.
fn metadata(key: &str) -> String {
    format!("metadata[{key}]")
}
