//! The payment provider Stripe: PaymentIntents that are captured by hand, and refunds, of one
//! version of its API.
//!
//! Every change carries the call's key as `Idempotency-Key` and in the object's metadata. Stripe
//! forgets the first after a day or more; the second stays, and look-ups find it.
//!
//! A failure of the server (5xx) is never a refusal, also if it is stored under the key: the call
//! may have taken effect, and may still.

use std::fmt;

use chrono::TimeDelta;
use outward::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use outward::{Address, Answer, Http, Repeat, Report, Request, Settings, Target};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use self::wire::{Page, PaymentIntent, WireRefund, is_made_by};
use crate::port::payment::{Payment, PaymentId, PaymentState, Refund};
use crate::port::{Call, GatewayError};

mod amount;
mod failure;
mod gateway;
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
/// How far our clock may be from Stripe's.
const CLOCKS_APART: TimeDelta = TimeDelta::minutes(10);
/// How long a request may be under way after its last attempt began, and its effect may take to
/// show in lists. Stripe states no time; its own requests end within minutes.
const HORIZON: TimeDelta = TimeDelta::hours(1);

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
        made: Made<'_>,
    ) -> Result<Payment, GatewayError> {
        let answer = self.post(call, path, form).await?;
        if failure::is_stored_failure(&answer) {
            return self.settle(call, made).await;
        }
        if let Some(error) = failure::failure(&answer) {
            return Err(error);
        }
        let read: Option<PaymentIntent> = serde_json::from_slice(&answer.body).ok();
        let payment = read.and_then(|intent| intent.payment());
        payment.ok_or_else(|| GatewayError::unknown(UNREADABLE))
    }

    /// What became of a call whose stored answer is a failure of the server. If no effect shows, it
    /// may still come.
    async fn settle(&self, call: &Call, made: Made<'_>) -> Result<Payment, GatewayError> {
        let found = match made {
            Made::Authorisation => self.made_by(call).await.and_then(shown),
            Made::Capture(id) => {
                self.payment(call, id).await.map(|it| is_now(it, &PaymentState::Captured))
            }
            Made::Release(id) => {
                self.payment(call, id).await.map(|it| is_now(it, &PaymentState::Released))
            }
        };
        found.map_err(undecided)?.ok_or_else(|| GatewayError::unknown(STORED))
    }

    async fn payment(&self, call: &Call, id: &PaymentId) -> Result<Payment, GatewayError> {
        let intent: PaymentIntent =
            self.get(call, format!("{PAYMENTS}/{}", id.as_str())).await?;
        let payment = intent.payment().filter(|payment| payment.id == *id);
        payment.ok_or_else(|| unread(GatewayError::unknown(UNREADABLE)))
    }

    /// The payment that a call with this key made, among those of the time of the call. (Stripe's
    /// search would find it by its metadata, but only a while after it was made.)
    async fn made_by(&self, call: &Call) -> Result<Option<PaymentIntent>, GatewayError> {
        let since = (call.since - CLOCKS_APART).timestamp();
        let until = call.until.map(|until| (until + HORIZON + CLOCKS_APART).timestamp());
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

    /// All refunds of a payment.
    async fn refunds_of(
        &self,
        call: &Call,
        payment: &PaymentId,
    ) -> Result<Vec<Refund>, GatewayError> {
        let path = format!("{REFUNDS}?payment_intent={}&limit={PAGE}", payment.as_str());
        let page: Page<WireRefund> = self.get(call, path).await?;
        if page.has_more {
            let why = format!("a payment has more than {PAGE} refunds");
            return Err(GatewayError::Unavailable { retry_after: None, why });
        }
        let refunds = page.data.iter().map(WireRefund::refund).collect::<Option<_>>();
        refunds.ok_or_else(|| unread(GatewayError::unknown(UNREADABLE)))
    }
}

/// What a change made, to find it if Stripe's answer does not show it.
#[derive(Debug, Clone, Copy)]
enum Made<'p> {
    /// A payment of its own.
    Authorisation,
    /// A capture of this payment.
    Capture(&'p PaymentId),
    /// A release of this payment.
    Release(&'p PaymentId),
}

const STORED: &str = "the provider failed, and repeats that under this key";
const UNREADABLE: &str = "the provider's answer cannot be read";

/// A look-up takes no effect, so its outcome is never unknown.
fn unread(error: GatewayError) -> GatewayError {
    match error {
        GatewayError::Unknown { retry_after, why } => {
            GatewayError::Unavailable { retry_after, why }
        }
        other => other,
    }
}

/// The outcome of a change stays unknown, whatever happened to the look-up.
fn undecided(error: GatewayError) -> GatewayError {
    let retry_after = match &error {
        GatewayError::Unavailable { retry_after, .. } => *retry_after,
        _ => None,
    };
    GatewayError::Unknown { retry_after, why: error.to_string() }
}

/// The payment that was found, if it can be read.
fn shown(found: Option<PaymentIntent>) -> Result<Option<Payment>, GatewayError> {
    let unreadable = || unread(GatewayError::unknown(UNREADABLE));
    found.map(|intent| intent.payment().ok_or_else(unreadable)).transpose()
}

/// The payment, if it is in this state.
fn is_now(payment: Payment, state: &PaymentState) -> Option<Payment> {
    (payment.state == *state).then_some(payment)
}
