//! Tests of the definition, of what starts an instance, and of its signals.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::DateTime;
use event_store::stream::Version;
use event_store::{Metadata, Position, RecordedEvent};
use saga::instance::{Answer, Decision, Part, Status};
use saga::test_kit::Story;
use saga::{Definition, Signal};
use serde_json::{Value, json};

use super::*;

const ORDER: Uuid = Uuid::from_u128(7);

fn begun(definition: &Definition) -> Story<'_> {
    Story::of(definition).starts("17", json!({})).done(ACCEPT)
}

/// An instance whose steps up to `last` succeeded.
fn after<'d>(definition: &'d Definition, last: &str) -> Story<'d> {
    let mut story = begun(definition);
    for step in [RESERVE, AUTHORISE, CAPTURE, RECORD_PAYMENT, SHIP] {
        story = story.done(step);
        if step == last {
            break;
        }
    }
    story.anyway()
}

#[test]
fn the_steps_follow_one_another_to_the_end() {
    let definition = definition(Times::default());
    begun(&definition)
        .done(RESERVE)
        .done(AUTHORISE)
        .done(CAPTURE)
        .done(RECORD_PAYMENT)
        .done(SHIP)
        .is(Status::Running)
        .done(RECORD_SHIPMENT)
        .is(Status::Completed);
}

#[test]
fn without_stock_nothing_but_the_order_is_undone() {
    let definition = definition(Times::default());
    begun(&definition)
        .then(&[
            "started lending v1 17",
            "step_requested accept_order #1",
            "step_succeeded accept_order #1",
            "step_requested reserve_stock #1",
        ])
        .rejected(RESERVE, "no stock")
        .then(&[
            "step_failed reserve_stock #1: no stock",
            "compensating: reserve_stock failed: no stock",
            "compensation_requested record_payment #1",
        ])
        .undone(RECORD_PAYMENT)
        .then(&[
            "compensation_succeeded record_payment #1",
            "compensation_requested accept_order #1",
        ])
        .undone(ACCEPT)
        .is(Status::Compensated);
}

#[test]
fn a_rejected_shipment_is_undone_in_reverse_order() {
    let definition = definition(Times::default());
    after(&definition, RECORD_PAYMENT)
        .rejected(SHIP, "too far")
        .undone(RECORD_PAYMENT)
        .undone(CAPTURE)
        .undone(AUTHORISE)
        .undone(ACCEPT)
        .then(&[
            "step_failed ship #1: too far",
            "compensating: ship failed: too far",
            "compensation_requested record_payment #1",
            "compensation_succeeded record_payment #1",
            "compensation_requested capture_payment #1",
            "compensation_succeeded capture_payment #1",
            "compensation_requested authorise_payment #1",
            "compensation_succeeded authorise_payment #1",
            "compensation_requested accept_order #1",
            "compensation_succeeded accept_order #1",
            "compensated: ship failed: too far",
        ]);
}

#[test]
fn a_payment_without_an_outcome_in_time_may_have_had_an_effect_and_is_undone() {
    let definition = definition(Times::default());
    let mut story = after(&definition, RESERVE);
    let mut attempts = 0;
    while story.instance().status == Status::Running {
        attempts += 1;
        story = story.fails(AUTHORISE, "away").later();
    }
    assert!((60..200).contains(&attempts), "{attempts} attempts in an hour");
    let undoing = story.undone(RECORD_PAYMENT).undone(AUTHORISE).undone(ACCEPT);
    assert_eq!(undoing.instance().status, Status::Compensated);
}

#[test]
fn a_cancellation_in_the_middle_undoes_what_was_done() {
    let definition = definition(Times::default());
    let cancelled = || Signal::Cancel { reason: "cancelled: customer".into() };
    after(&definition, RESERVE)
        .hears(cancelled())
        .then(&[
            "signal_received cancel",
            "compensating: cancelled: customer",
            "compensation_requested record_payment #1",
        ])
        .undone(RECORD_PAYMENT)
        .undone(AUTHORISE)
        .undone(ACCEPT)
        .is(Status::Compensated)
        // What the provider did meanwhile is undone as well, under another key.
        .hears(Signal::Answer {
            step: AUTHORISE.to_owned(),
            part: Part::Action,
            call: None,
            answer: Answer::Done(json!({"payment": "pi_1"})),
        })
        .is(Status::Compensating)
        .undone(AUTHORISE)
        .is(Status::Compensated);
}

#[test]
fn a_compensation_that_fails_for_hours_waits_for_a_person_who_may_skip_it() {
    let definition = definition(Times::default());
    let rejected = after(&definition, RECORD_PAYMENT).rejected(SHIP, "too far");
    let mut story = rejected.undone(RECORD_PAYMENT);
    while story.instance().status == Status::Compensating {
        story = story.undo_fails(CAPTURE, "away");
        if story.instance().due_at().is_some() {
            story = story.later();
        }
    }
    assert_eq!(story.instance().status, Status::Parked);
    let reason = "paid back by hand".to_owned();
    story
        .operated(Decision::SkipCompensation { step: CAPTURE.to_owned(), reason })
        .undone(AUTHORISE)
        .undone(ACCEPT)
        .is(Status::Compensated);
}

#[test]
fn a_shipper_that_is_away_is_asked_until_the_deadline_and_not_given_up_before() {
    let times = Times::default();
    let definition = definition(times);
    let mut story = after(&definition, RECORD_PAYMENT);
    let mut attempts = 0;
    while story.instance().status == Status::Running {
        attempts += 1;
        story = story.fails(SHIP, "away").later();
    }
    // With the longest pauses there are two an hour, with the shortest four.
    let hours = u32::try_from(times.shipment.as_secs() / 3_600).unwrap();
    assert!((2 * hours..=5 * hours).contains(&attempts), "{attempts} attempts in {hours} hours");
}

fn event(event_type: &str, actor: Option<&str>, data: &Value) -> RecordedEvent {
    RecordedEvent {
        id: Uuid::from_u128(1),
        position: Position(5),
        stream: format!("order-{ORDER}").parse().unwrap(),
        version: Version(2),
        fragment: 0,
        event_type: event_type.parse().unwrap(),
        schema_version: 2,
        data: serde_json::value::to_raw_value(data).unwrap(),
        metadata: Metadata { actor: actor.map(str::to_owned), ..Metadata::new(Uuid::nil()) },
        tags: Vec::new(),
        recorded_at: DateTime::UNIX_EPOCH,
        bytes: 0,
    }
}

#[test]
fn an_order_that_is_to_be_fulfilled_starts_an_instance_and_another_one_does_not() {
    let total = json!({"minor": 2_000, "currency": "USD"});
    let confirmed = |more: Value| {
        let mut data = json!({"order_id": ORDER, "total": total, "units": 2});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        start(&event(CONFIRMED, None, &data))
    };
    let started = confirmed(json!({"to_fulfil": true})).unwrap();
    assert_eq!(started.key, ORDER.to_string());
    let facts: Facts = serde_json::from_value(started.data).unwrap();
    assert_eq!((facts.order_id, facts.since), (ORDER, DateTime::UNIX_EPOCH));
    assert_eq!(confirmed(json!({"to_fulfil": false})), None, "imported");
    assert_eq!(confirmed(json!({})), None, "by version 1");
    assert_eq!(start(&event(CONFIRMED, None, &json!({"order_id": ORDER}))), None, "unreadable");
}

#[test]
fn an_instance_hears_what_others_did_to_its_order_and_not_what_it_did_itself() {
    let heard = |event_type: &str, actor: &str, more: Value| {
        let mut data = json!({"order_id": ORDER});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        signals::read(&event(event_type, Some(actor), &data))
    };
    let own = "system:process-manager";
    for event_type in ["order.sale_cancelled", "order.paid", "order.shipped"] {
        assert_eq!(heard(event_type, own, json!({})), None);
    }
    let reason = json!({"reason": "customer"});
    let (key, signal) = heard("order.sale_cancelled", "user:1", reason).unwrap();
    assert_eq!(key, ORDER.to_string());
    let Signal::Cancel { reason } = signal else { panic!("{signal:?}") };
    assert_eq!((reason.text, reason.details), ("cancelled: customer".into(), json!("cancelled")));
    for (event_type, expected) in [("order.paid", AUTHORISE), ("order.shipped", SHIP)] {
        // The free text of staff is not a reason of the saga.
        let (_, signal) = heard(event_type, "user:2", json!({"reason": "seen"})).unwrap();
        let nudge = "recorded by hand".to_owned();
        let answer = Answer::Unavailable { reason: nudge, retry_after: None };
        let (step, part) = (expected.to_owned(), Part::Action);
        assert_eq!(signal, Signal::Answer { step, part, call: None, answer });
    }
}
