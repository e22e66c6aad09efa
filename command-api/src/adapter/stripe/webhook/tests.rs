//! Signatures, times and repeats of events.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::TimeDelta;

use super::*;
use crate::adapter::signed::{MAX_BODY, fits};
use crate::adapter::stripe::tests::{payment, shape};

const EVENT: &str = shape!("event");

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_776_848_401, 0).unwrap()
}

fn webhooks(secrets: &str) -> Webhooks {
    Webhooks::new(&SecretString::from(secrets))
}

/// The header of an event, as the sandbox makes it.
fn signed(secret: &str, body: &str, at: DateTime<Utc>) -> String {
    sandbox::sign(secret, at.timestamp(), body)
}

/// What the first event of all says.
fn receive(header: &str, body: &str) -> Result<Notice, WebhookError> {
    match webhooks("one\ntwo\n").receive(header, body.as_bytes(), now())? {
        Received::New(notice, _) => Ok(notice),
        other => panic!("it is the first one: {other:?}"),
    }
}

#[test]
fn an_event_with_a_fitting_signature_is_read() {
    for secret in ["one", "two"] {
        let notice = receive(&signed(secret, EVENT, now()), EVENT).unwrap();
        assert_eq!(notice.id, "evt_3Ap1XmpleEvent00001");
        let payment = payment(shape!("authorised"));
        let key = "5f1f9b9e-6b1a-5c53-9d8e-0d6b3c1c2f10".parse().ok();
        assert_eq!(notice.about, About::Payment { payment, key });
    }
}

/// A known answer, made with another program:
/// `printf '%s' '1.{"id":"a"}' | openssl dgst -sha256 -hmac secret`.
#[test]
fn the_signature_is_an_hmac_of_time_and_body() {
    let expected = "929f7cc1fb58c69dabd41383efae025f2c875e1c89fb508e696735249e9db103";
    assert_eq!(sandbox::sign("secret", 1, "{\"id\":\"a\"}"), format!("t=1,v1={expected}"));
    let signature = hex::decode(expected).unwrap();
    assert!(fits(&SecretString::from("secret"), "1", b"{\"id\":\"a\"}", &signature));
}

#[test]
fn any_change_of_body_time_or_secret_is_noticed() {
    let header = signed("one", EVENT, now());
    assert_eq!(receive(&header, &EVENT.replace("2599", "1")), Err(WebhookError::Forged));
    assert_eq!(receive(&header, &format!("{EVENT} ")), Err(WebhookError::Forged));
    let later = header.replace("t=1776848401", "t=1776848402");
    assert_eq!(receive(&later, EVENT), Err(WebhookError::Forged));
    assert_eq!(receive(&signed("three", EVENT, now()), EVENT), Err(WebhookError::Forged));
    let nothing = webhooks("\n").receive(&signed("", EVENT, now()), EVENT.as_bytes(), now());
    assert_eq!(nothing.unwrap_err(), WebhookError::Forged, "no secret fits nothing");
}

#[test]
fn an_event_is_at_most_five_minutes_old_or_early() {
    for (seconds, is_fresh) in [(0, true), (300, true), (301, false), (-300, true), (-301, false)] {
        let header = signed("one", EVENT, now() - TimeDelta::seconds(seconds));
        let received = receive(&header, EVENT);
        assert_eq!(received.is_ok(), is_fresh, "{seconds} s: {received:?}");
        assert!(is_fresh || received == Err(WebhookError::Stale));
    }
}

#[test]
fn an_event_that_comes_again_is_told_apart() {
    let webhooks = webhooks("one");
    let receive = |at| webhooks.receive(&signed("one", EVENT, at), EVENT.as_bytes(), at).unwrap();
    let Received::New(_, claim) = receive(now()) else { panic!("it is the first one") };
    assert!(matches!(receive(now()), Received::UnderWay));
    claim.done();
    assert!(matches!(receive(now()), Received::Repeated));
    // Stripe signs an event each time that it sends it.
    assert!(matches!(receive(now() + TimeDelta::seconds(300)), Received::Repeated));
}

#[test]
fn an_event_that_nobody_could_act_on_is_new_when_it_comes_again() {
    let webhooks = webhooks("one");
    let receive = |at| webhooks.receive(&signed("one", EVENT, at), EVENT.as_bytes(), at).unwrap();
    let Received::New(first, claim) = receive(now()) else { panic!("it is the first one") };
    drop(claim);
    let again = receive(now() + TimeDelta::seconds(60));
    let Received::New(second, _claim) = again else { panic!("{again:?}") };
    assert_eq!(first, second);
}

#[test]
fn a_forged_event_does_not_keep_out_the_genuine_one() {
    let webhooks = webhooks("one");
    let forged = webhooks.receive(&signed("x", EVENT, now()), EVENT.as_bytes(), now());
    assert_eq!(forged.unwrap_err(), WebhookError::Forged);
    let genuine = webhooks.receive(&signed("one", EVENT, now()), EVENT.as_bytes(), now());
    assert!(matches!(genuine, Ok(Received::New(..))));
}

#[test]
fn a_header_is_one_time_and_some_signatures() {
    let good = signed("one", EVENT, now());
    let (time, signature) = good.split_once(',').unwrap();
    let zeros = "0".repeat(64);
    for header in [
        good.clone(),
        format!("{signature},{time}"),
        format!("{time},v0={zeros},v1={zeros},{signature}"),
        format!("{time},v1=nothing,{}", signature.to_uppercase().replace("V1", "v1")),
    ] {
        assert!(receive(&header, EVENT).is_ok(), "{header}");
    }
    for header in [
        String::new(),
        time.to_owned(),
        signature.to_owned(),
        format!("{time},{}", signature.replace("v1", "v0")),
        format!("{time},{time},{signature}"),
        format!("t=,{signature}"),
        format!("t=now,{signature}"),
        format!("t=99999999999999999999,{signature}"),
        format!("{time};{signature}"),
        format!("{time},v1={}", vec![zeros; 9].join(",v1=")),
    ] {
        assert_eq!(receive(&header, EVENT), Err(WebhookError::Malformed), "{header}");
    }
}

#[test]
fn parts_of_payments_and_other_things_are_told_apart() {
    let about = |object: Value| {
        let event = serde_json::json!({ "id": "evt_1", "data": { "object": object } }).to_string();
        receive(&signed("one", &event, now()), &event).map(|notice| notice.about)
    };
    let refund: Value = serde_json::from_str(shape!("refund")).unwrap();
    let of = PaymentId::parse("pi_3Ap1XmpleAuthorised01").unwrap();
    assert_eq!(about(refund), Ok(About::PartOf(of)));
    for other in [
        serde_json::json!({ "object": "refund", "payment_intent": null }),
        serde_json::json!({ "object": "customer", "email": "a@example.com" }),
        serde_json::json!({}),
    ] {
        assert_eq!(about(other), Ok(About::Other));
    }
    for key in [CALL_KEY, ORDER_ID] {
        let broken = serde_json::json!({ "object": "payment_intent", "metadata": { key: "1" } });
        assert_eq!(about(broken), Err(WebhookError::Unreadable), "{key}");
    }
    let header = signed("one", "nothing", now());
    assert_eq!(receive(&header, "nothing"), Err(WebhookError::Unreadable));
    let long = " ".repeat(MAX_BODY + 1);
    assert_eq!(receive(&signed("one", &long, now()), &long), Err(WebhookError::TooLong));
}

#[test]
fn a_payment_of_another_program_of_the_same_account_is_not_read() {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    // We do not know this currency.
    event["data"]["object"]["currency"] = "ugx".into();
    let about = |event: &Value| {
        let body = event.to_string();
        receive(&signed("one", &body, now()), &body).map(|notice| notice.about)
    };
    assert_eq!(about(&event), Err(WebhookError::Unreadable), "it is one of ours");
    event["data"]["object"]["metadata"] = serde_json::json!({ "cart": "7" });
    assert_eq!(about(&event), Ok(About::Other));
    event["data"]["object"].as_object_mut().unwrap().remove("metadata");
    assert_eq!(about(&event), Ok(About::Other));
}
