//! Payments, shaped like Stripe's PaymentIntents and refunds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::form::Form;
use crate::simulation::ask::Outcome;
use crate::simulation::state::{Change, Saved, State};

mod show;

pub(crate) use show::refusal;
use show::{invalid, ok};

/// The tokens of cards that the bank declines, with its reason. Any other is accepted.
const DECLINED: &[(&str, &str)] = &[
    ("pm_card_visa_chargeDeclined", "generic_decline"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedExpiredCard", "expired_card"),
];
/// The maximum amount, as at Stripe.
const MAX_AMOUNT: i64 = 99_999_999;
/// The maximum number of objects on a page of a list.
const MAX_PAGE: usize = 100;

/// A payment: amounts in Stripe's units, times in seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) number: u64,
    pub(crate) created: i64,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) status: Status,
    pub(crate) decline: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// The state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresCapture,
    Succeeded,
    Canceled,
}

/// A refund of a payment, in the same units.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) number: u64,
    pub(crate) created: i64,
    pub(crate) payment: u64,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl Payment {
    /// The order in its metadata.
    pub(crate) fn order(&self) -> &str {
        self.metadata.get("order_id").map_or("", String::as_str)
    }
}

/// The payment with an id.
fn find<'a>(state: &'a State, id: &str) -> Option<&'a Payment> {
    state.payments.get(&id.strip_prefix("pi_")?.parse().ok()?)
}

fn no_such(id: &str) -> Outcome {
    let message = format!("No such payment_intent: '{id}'");
    Outcome::unsaved(refusal(404, "invalid_request_error", "resource_missing", &message))
}

/// Makes a payment and asks the bank for it.
pub(crate) fn authorise(state: &State, form: &Form, now: i64, is_declined: bool) -> Outcome {
    let amount = form.integer("amount").filter(|amount| (1..=MAX_AMOUNT).contains(amount));
    let Some(amount) = amount else { return invalid("amount") };
    let is_code = |text: &&str| text.len() == 3 && text.bytes().all(|b| b.is_ascii_lowercase());
    let Some(currency) = form.text("currency").filter(is_code) else { return invalid("currency") };
    let Some(method) = form.text("payment_method") else { return invalid("payment_method") };
    for (field, value) in [("capture_method", "manual"), ("confirm", "true")] {
        if form.text(field) != Some(value) {
            return invalid(field);
        }
    }
    let listed = DECLINED.iter().find(|(token, _)| *token == method).map(|(_, code)| *code);
    let decline = listed.or(is_declined.then_some("generic_decline"));
    let is_approved = decline.is_none();
    let payment = Payment {
        number: state.payments.len() as u64 + 1,
        created: now,
        amount,
        currency: currency.to_owned(),
        captured: 0,
        refunded: 0,
        status: if is_approved { Status::RequiresCapture } else { Status::RequiresPaymentMethod },
        decline: decline.map(ToOwned::to_owned),
        metadata: form.map("metadata"),
    };
    let shown = payment.show();
    if is_approved {
        let event = ("payment_intent.amount_capturable_updated", shown.clone());
        return Outcome::done(ok(&shown), Change::Authorised(payment)).telling(event);
    }
    let answer = show::declined(&payment);
    let event = ("payment_intent.payment_failed", shown);
    Outcome::done(answer, Change::Declined(payment)).telling(event)
}

/// Takes the money of an authorised payment.
pub(crate) fn capture(state: &State, id: &str, form: &Form) -> Outcome {
    let Some(payment) = find(state, id) else { return no_such(id) };
    if payment.status != Status::RequiresCapture {
        return unexpected(payment);
    }
    let amount = form.integer("amount_to_capture").unwrap_or(payment.amount);
    if !(1..=payment.amount).contains(&amount) {
        return invalid("amount_to_capture");
    }
    let payment = Payment { captured: amount, status: Status::Succeeded, ..payment.clone() };
    let shown = payment.show();
    let event = ("payment_intent.succeeded", shown.clone());
    Outcome::done(ok(&shown), Change::Captured(payment)).telling(event)
}

/// Cancels a payment that was not captured.
pub(crate) fn release(state: &State, id: &str) -> Outcome {
    let Some(payment) = find(state, id) else { return no_such(id) };
    if !matches!(payment.status, Status::RequiresCapture | Status::RequiresPaymentMethod) {
        return unexpected(payment);
    }
    let payment = Payment { status: Status::Canceled, ..payment.clone() };
    let shown = payment.show();
    let event = ("payment_intent.canceled", shown.clone());
    Outcome::done(ok(&shown), Change::Released(payment)).telling(event)
}

/// Gives captured money back.
pub(crate) fn refund(state: &State, form: &Form, now: i64) -> Outcome {
    let id = form.text("payment_intent").unwrap_or_default();
    let Some(payment) = find(state, id) else { return no_such(id) };
    if payment.status != Status::Succeeded {
        return unexpected(payment);
    }
    let left = payment.captured - payment.refunded;
    if left == 0 {
        let message = "The charge has already been refunded.";
        let code = "charge_already_refunded";
        return Outcome::saved(refusal(400, "invalid_request_error", code, message));
    }
    let amount = form.integer("amount").unwrap_or(left);
    if !(1..=left).contains(&amount) {
        return invalid("amount");
    }
    let refund = Refund {
        number: state.refunds.len() as u64 + 1,
        created: now,
        payment: payment.number,
        amount,
        currency: payment.currency.clone(),
        metadata: form.map("metadata"),
    };
    let payment = Payment { refunded: payment.refunded + amount, ..payment.clone() };
    let shown = refund.show();
    let event = ("refund.created", shown.clone());
    Outcome::done(ok(&shown), Change::Refunded(payment, refund)).telling(event)
}

fn unexpected(payment: &Payment) -> Outcome {
    let message = format!("This PaymentIntent has a status of {:?}.", payment.status);
    let code = "payment_intent_unexpected_state";
    Outcome::saved(refusal(400, "invalid_request_error", code, &message))
}

/// The answer to a request for one payment.
pub(crate) fn read(state: &State, id: &str) -> Saved {
    find(state, id).map_or_else(|| no_such(id).answer, |payment| ok(&payment.show()))
}

/// A page of payments, newest first.
pub(crate) fn list(state: &State, query: &Form) -> Saved {
    let since = query.integer("created[gte]").unwrap_or(i64::MIN);
    let after = query.text("starting_after").and_then(|id| find(state, id));
    let below = after.map_or(u64::MAX, |payment| payment.number);
    let found = state.payments.range(..below).rev().map(|(_, payment)| payment);
    page(found.filter(|payment| payment.created >= since).map(Payment::show), query)
}

/// A page of the refunds of a payment, newest first.
pub(crate) fn list_refunds(state: &State, query: &Form) -> Saved {
    let of = query.text("payment_intent").and_then(|id| find(state, id));
    let of = of.map(|payment| payment.number);
    let found = state.refunds.values().rev().filter(|refund| Some(refund.payment) == of);
    page(found.map(Refund::show), query)
}

fn page(mut found: impl Iterator<Item = Value>, query: &Form) -> Saved {
    let asked = query.text("limit").and_then(|text| text.parse().ok()).unwrap_or(10);
    let data: Vec<Value> = found.by_ref().take(asked.min(MAX_PAGE)).collect();
    let has_more = found.next().is_some();
    ok(&json!({ "object": "list", "url": "/v1", "data": data, "has_more": has_more }))
}
