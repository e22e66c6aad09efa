//! The payment provider Stripe: PaymentIntents that are captured by hand, and refunds, of one
//! version of its API.
//!
//! Every change carries the call's key as `Idempotency-Key` and in the object's metadata. Stripe
//! forgets the first after a day or more; the second stays, and look-ups find it.

use std::fmt;

use chrono::TimeDelta;
use domain::value::Money;
use outward::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use outward::{Address, Answer, Http, Repeat, Report, Request, Settings, Target};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use self::wire::{CALL_KEY, ORDER_ID, Page, PaymentIntent, Refund, is_made_by};
use crate::port::payment::{
    Authorisation, Made, Payment, PaymentGateway, PaymentId, PaymentState, Refunded,
};
use crate::port::{Call, GatewayError};

mod amount;
mod failure;
#[cfg(test)]
mod tests;
pub mod webhook;
mod wire;

/// The version of the API that requests ask for and answers are read as.
pub const VERSION: &str = "2026-04-22.dahlia";
/// The address of the API.
pub const ADDRESS: &str = "https://api.stripe.com";

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const STRIPE_VERSION: HeaderName = HeaderName::from_static("stripe-version");
const PAYMENTS: &str = "/v1/payment_intents";
const REFUNDS: &str = "/v1/refunds";
/// The number of objects on a page of a list: the most that Stripe allows.
const PAGE: usize = 100;
/// The maximum number of pages that a look-up reads.
const MAX_PAGES: usize = 50;
/// How far our clock may be ahead of Stripe's.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);

/// Payments by Stripe's API.
pub struct Stripe {
    target: Target,
    authorization: HeaderValue,
}

/// Why the adapter cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StripeError {
    /// The secret key has characters that no key has.
    #[error("the secret key has characters that no header can carry")]
    Key,
    /// The HTTP client cannot be made.
    #[error("the certificates of the system cannot be used")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stripe")
    }
}

impl Stripe {
    /// Payments by the API at an address, with a secret key and the limits of its calls. `name`
    /// is the target's name in metrics.
    ///
    /// # Errors
    /// [`StripeError`].
    pub fn new(
        name: &'static str,
        address: Address,
        key: &SecretString,
        mut settings: Settings,
    ) -> Result<Self, StripeError> {
        let bearer = format!("Bearer {}", key.expose_secret());
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| StripeError::Key)?;
        authorization.set_sensitive(true);
        settings.judge = failure::judge;
        let http = Http::new(address, &settings);
        let http = http.map_err(|error| StripeError::Client(Box::new(error)))?;
        Ok(Self { target: Target::new(name, http, settings), authorization })
    }

    /// How things are with the provider.
    pub fn report(&self) -> Report {
        self.target.report()
    }

    async fn send(&self, call: &Call, request: Request) -> Result<Answer, GatewayError> {
        let request = request
            .header(AUTHORIZATION, self.authorization.clone())
            .header(STRIPE_VERSION, HeaderValue::from_static(VERSION))
            .traceparent(call.traceparent.clone())
            .total_limit(call.limit);
        Ok(self.target.call(request).await?)
    }

    /// Reads an object or a list.
    async fn get<T: DeserializeOwned>(&self, call: &Call, path: String) -> Result<T, GatewayError> {
        let answer = self.send(call, Request::get(path)).await.map_err(unread)?;
        failure::failure(&answer).map_or(Ok(()), |error| Err(unread(error)))?;
        let read = serde_json::from_slice(&answer.body);
        read.map_err(|_| unread(GatewayError::unknown(UNREADABLE)))
    }

    /// Sends a change as a form, under the call's key.
    async fn post(
        &self,
        call: &Call,
        path: String,
        form: &[(&str, &str)],
    ) -> Result<Answer, GatewayError> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = Request::post(path, body)
            .header(CONTENT_TYPE, FORM)
            .repeat(Repeat::with_key(call.key.to_string()));
        self.send(call, request).await
    }

    /// Sends a change whose answer is the payment.
    async fn change(
        &self,
        call: &Call,
        path: String,
        form: &[(&str, &str)],
        made: Made,
    ) -> Result<Payment, GatewayError> {
        let answer = self.post(call, path, form).await?;
        if failure::is_stored_failure(&answer) {
            return self.settle(call, &made).await;
        }
        if let Some(error) = failure::failure(&answer) {
            return Err(error);
        }
        let read: Option<PaymentIntent> = serde_json::from_slice(&answer.body).ok();
        let payment = read.and_then(|intent| intent.payment());
        payment.ok_or_else(|| GatewayError::unknown(UNREADABLE))
    }

    /// What became of a call whose stored answer is a failure of the server. If it took no effect,
    /// it never will: Stripe answers every repeat with the stored failure.
    async fn settle(&self, call: &Call, made: &Made) -> Result<Payment, GatewayError> {
        let found = self.look_up(call, made).await;
        // The change itself may have taken effect, whatever happened to the look-up.
        let found = found.map_err(|error| GatewayError::Unknown { why: error.to_string() })?;
        found.ok_or_else(|| GatewayError::declined("provider_error"))
    }

    async fn intent(&self, call: &Call, id: &PaymentId) -> Result<PaymentIntent, GatewayError> {
        self.get(call, format!("{PAYMENTS}/{}", id.as_str())).await
    }

    /// The payment that a call with this key made, among those of the time of the call. (Stripe's
    /// search would find it by its metadata, but only a while after it was made.)
    async fn made_by(&self, call: &Call) -> Result<Option<PaymentIntent>, GatewayError> {
        let since = (call.since - CLOCKS_APART).timestamp();
        let until = call.until.map(|until| (until + CLOCKS_APART).timestamp());
        let until = until.map(|until| format!("&created[lte]={until}")).unwrap_or_default();
        let mut after = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!("{PAYMENTS}?limit={PAGE}&created[gte]={since}{until}{after}");
            let page: Page<PaymentIntent> = self.get(call, path).await?;
            let last = page.data.last().map(|intent| intent.id.clone());
            let made = |intent: &PaymentIntent| is_made_by(&intent.metadata, call.key);
            if let Some(found) = page.data.into_iter().find(made) {
                return Ok(Some(found));
            }
            match last {
                Some(last) if page.has_more => after = format!("&starting_after={last}"),
                _ => return Ok(None),
            }
        }
        let why = format!("more than {} payments in the time of the call", MAX_PAGES * PAGE);
        Err(GatewayError::Unavailable { retry_after: None, why })
    }

    /// The refund that a call with this key made.
    async fn refund_by(
        &self,
        call: &Call,
        payment: &PaymentId,
    ) -> Result<Option<Refund>, GatewayError> {
        let path = format!("{REFUNDS}?payment_intent={}&limit={PAGE}", payment.as_str());
        let page: Page<Refund> = self.get(call, path).await?;
        let made = |refund: &Refund| is_made_by(&refund.metadata, call.key);
        Ok(page.data.into_iter().find(made))
    }
}

const UNREADABLE: &str = "the provider's answer cannot be read";

/// A look-up takes no effect, so its outcome is never unknown.
fn unread(error: GatewayError) -> GatewayError {
    match error {
        GatewayError::Unknown { why } => GatewayError::Unavailable { retry_after: None, why },
        other => other,
    }
}

/// How far a refund is, by its state.
fn refunded(refund: &Refund) -> Result<Refunded, GatewayError> {
    match refund.status.as_deref() {
        Some("succeeded") => Ok(Refunded::Done),
        Some("pending" | "requires_action") | None => Ok(Refunded::Pending),
        Some("failed" | "canceled") => {
            let reason = refund.failure_reason.as_deref().unwrap_or("refund_failed");
            Err(GatewayError::declined(reason))
        }
        Some(_) => Err(GatewayError::unknown(UNREADABLE)),
    }
}

#[async_trait::async_trait]
impl PaymentGateway for Stripe {
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
            (&metadata(CALL_KEY), &call.key.to_string()),
        ];
        let path = PAYMENTS.to_owned();
        let payment = self.change(call, path, &form, Made::Authorisation).await?;
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
        self.change(call, path, &form, Made::Capture(payment.clone())).await
    }

    async fn release(&self, call: &Call, payment: &PaymentId) -> Result<Payment, GatewayError> {
        let path = format!("{PAYMENTS}/{}/cancel", payment.as_str());
        self.change(call, path, &[], Made::Release(payment.clone())).await
    }

    async fn refund(
        &self,
        call: &Call,
        payment: &PaymentId,
        amount: Money,
    ) -> Result<Refunded, GatewayError> {
        let amount = amount::to_stripe(amount)?.to_string();
        let form = [
            ("payment_intent", payment.as_str()),
            ("amount", &amount),
            (&metadata(CALL_KEY), &call.key.to_string()),
        ];
        let answer = self.post(call, REFUNDS.to_owned(), &form).await?;
        if failure::is_stored_failure(&answer) {
            let found = self.refund_by(call, payment).await;
            let found = found.map_err(|error| GatewayError::Unknown { why: error.to_string() })?;
            let none = || GatewayError::declined("provider_error");
            return found.as_ref().ok_or_else(none).and_then(refunded);
        }
        if let Some(error) = failure::failure(&answer) {
            return Err(error);
        }
        let read: Option<Refund> = serde_json::from_slice(&answer.body).ok();
        let read = read.ok_or_else(|| GatewayError::unknown(UNREADABLE))?;
        refunded(&read)
    }

    async fn look_up(&self, call: &Call, made: &Made) -> Result<Option<Payment>, GatewayError> {
        let found = match made {
            Made::Authorisation => self.made_by(call).await?,
            Made::Capture(id) => is_now(self.intent(call, id).await?, "succeeded"),
            Made::Release(id) => is_now(self.intent(call, id).await?, "canceled"),
            Made::Refund(id) => match self.refund_by(call, id).await? {
                Some(_) => Some(self.intent(call, id).await?),
                None => None,
            },
        };
        let unreadable = || unread(GatewayError::unknown(UNREADABLE));
        found.map(|intent| intent.payment().ok_or_else(unreadable)).transpose()
    }
}

/// The payment, if it is in this state.
fn is_now(intent: PaymentIntent, status: &str) -> Option<PaymentIntent> {
    (intent.status == status).then_some(intent)
}

/// The name of a form field in the metadata of an object.
fn metadata(key: &str) -> String {
    format!("metadata[{key}]")
}

/// The key of the call that made an object, if its metadata has one.
fn call_key(metadata: &std::collections::HashMap<String, String>) -> Option<Uuid> {
    metadata.get(CALL_KEY).and_then(|text| text.parse().ok())
}
