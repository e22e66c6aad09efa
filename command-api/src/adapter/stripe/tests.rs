//! The shapes of Stripe's answers, as the reference of the pinned version of its API shows them,
//! and what each means for a call.

#![allow(clippy::unwrap_used, reason = "tests")]

use outward::{Effect, StatusCode, Verdict};

use super::failure::{failure, is_stored_failure, judge};
use super::wire::PaymentIntent;
use super::*;

/// The text of a recorded shape.
macro_rules! shape {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/adapter/stripe/shapes/",
            $name,
            ".json"
        ))
    };
}
pub(super) use shape;

pub(super) fn payment(shape: &str) -> Payment {
    serde_json::from_str::<PaymentIntent>(shape).unwrap().payment().unwrap()
}

fn money(text: &str) -> Money {
    Money::parse(text, "EUR".parse().unwrap()).unwrap()
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: headers.collect(),
        body: body.into(),
    }
}

#[test]
fn a_payment_is_read_in_each_of_its_states() {
    let authorised = payment(shape!("authorised"));
    assert_eq!(authorised.id.as_str(), "pi_3Ap1XmpleAuthorised01");
    assert_eq!(authorised.order, "0199b0a2-7c1e-7d3a-8b1f-2f6e5a4d3c2b".parse().ok());
    assert_eq!(authorised.state, PaymentState::Authorised);
    assert_eq!((authorised.amount, authorised.captured), (money("25.99"), money("0")));
    let captured = payment(shape!("captured"));
    assert_eq!((captured.state, captured.captured), (PaymentState::Captured, money("20")));
    assert_eq!(payment(shape!("released")).state, PaymentState::Released);
    let declined = PaymentState::Declined(crate::port::Code::new("insufficient_funds"));
    assert_eq!(payment(shape!("declined")).state, declined);
}

#[test]
fn a_payment_in_a_state_that_we_do_not_know_is_not_read() {
    let strange = shape!("authorised").replace("\"requires_capture\"", "\"requires_magic\"");
    let intent: PaymentIntent = serde_json::from_str(&strange).unwrap();
    assert_eq!(intent.payment(), None);
}

#[test]
fn each_error_says_what_the_caller_may_do() {
    let means = |status, body| failure(&answer(status, &[], body)).unwrap();
    let declined = means(402, shape!("declined_error"));
    assert_eq!(declined, GatewayError::declined("insufficient_funds"));
    assert!(!format!("{declined:?}").contains("Person"));
    assert_eq!(means(400, shape!("invalid_error")), GatewayError::invalid("amount_too_small"));
    assert_eq!(means(400, shape!("key_reused_error")), GatewayError::invalid("key_reused"));
    assert_eq!(means(404, "not JSON"), GatewayError::invalid("unspecified"));
    for status in [401, 403] {
        assert!(matches!(means(status, "{}"), GatewayError::Unavailable { .. }), "{status}");
    }
    for status in [302, 408, 409, 425, 429, 500, 599] {
        assert!(matches!(means(status, "{}"), GatewayError::Unknown { .. }), "{status}");
    }
    assert_eq!(failure(&answer(200, &[], "{}")), None);
}

#[test]
fn an_answer_is_final_or_not_as_stripe_says() {
    const YES: (&str, &str) = ("stripe-should-retry", "true");
    const NO: (&str, &str) = ("stripe-should-retry", "false");
    const STORED: (&str, &str) = ("idempotent-replayed", "true");
    for (status, headers, verdict) in [
        (200, &[][..], Verdict::Final),
        (200, &[STORED], Verdict::Final),
        (402, &[], Verdict::Final),
        (409, &[], Verdict::Again(Effect::Unknown)),
        (409, &[NO], Verdict::Final),
        (429, &[], Verdict::Again(Effect::None)),
        (500, &[], Verdict::Again(Effect::Unknown)),
        (500, &[NO], Verdict::Final),
        (500, &[STORED], Verdict::Final),
        (503, &[], Verdict::Again(Effect::Unknown)),
        (400, &[YES], Verdict::Again(Effect::Unknown)),
    ] {
        let answer = answer(status, headers, "{}");
        assert_eq!(judge(&answer), verdict, "{status} {headers:?}");
    }
    // A final answer whose effect we do not know is looked up.
    let busy = r#"{"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}}"#;
    for status in [409, 429] {
        let answer = answer(status, &[NO], busy);
        assert_eq!(judge(&answer), Verdict::Final);
        assert!(matches!(failure(&answer), Some(GatewayError::Unknown { .. })), "{status}");
    }
    assert!(is_stored_failure(&answer(500, &[STORED], "{}")));
    assert!(!is_stored_failure(&answer(402, &[STORED], "{}")));
}

#[test]
fn a_refund_is_done_or_pending_or_refused() {
    let read = |status: &str| {
        let text = shape!("refund").replace("\"succeeded\"", status);
        refunded(&serde_json::from_str(&text).unwrap())
    };
    assert_eq!(read("\"succeeded\""), Ok(Refunded::Done));
    for status in ["\"pending\"", "\"requires_action\"", "null"] {
        assert_eq!(read(status), Ok(Refunded::Pending), "{status}");
    }
    assert_eq!(read("\"failed\""), Err(GatewayError::declined("refund_failed")));
    assert!(matches!(read("\"magic\""), Err(GatewayError::Unknown { .. })));
}
