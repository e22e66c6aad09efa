//! Every fault of the sandbox, with every call: each has one effect or none, and its caller finds
//! out which.

use command_api::port::GatewayError;
use command_api::port::payment::{
    Made, Payment, PaymentGateway as _, PaymentId, PaymentState, Refunded,
};
use futures::StreamExt as _;

use super::*;

/// The calls that change something.
const CALLS: [&str; 4] = ["authorise", "capture", "release", "refund"];
/// All faults except that a provider declines.
const FAULTS: [Fault; 7] = [
    Fault::Error,
    Fault::Limited,
    Fault::Hang,
    Fault::Failed,
    Fault::Broken,
    Fault::Lost,
    Fault::Cut,
];

/// A payment in the state in which it can be changed this way.
async fn prepared(stand: &Stand, name: &str, order: Uuid) -> Option<PaymentId> {
    if name == "authorise" {
        return None;
    }
    let payments = stand.payments(1);
    let payment = payments.authorise(&call(), &asked(order)).await.unwrap();
    if name == "refund" {
        payments.capture(&call(), &payment.id, money("25.99")).await.unwrap();
    }
    Some(payment.id)
}

/// Makes a call by its name.
async fn make(
    payments: &Stripe,
    call: &Call,
    (name, order, id): (&str, Uuid, Option<&PaymentId>),
) -> Result<(), GatewayError> {
    match (name, id) {
        ("capture", Some(id)) => payments.capture(call, id, money("25.99")).await.map(drop),
        ("release", Some(id)) => payments.release(call, id).await.map(drop),
        ("refund", Some(id)) => payments.refund(call, id, money("25.99")).await.map(|done| {
            assert_eq!(done, Refunded::Done);
        }),
        _ => payments.authorise(call, &asked(order)).await.map(drop),
    }
}

fn made(name: &str, id: Option<&PaymentId>) -> Made {
    match (name, id) {
        ("capture", Some(id)) => Made::Capture(id.clone()),
        ("release", Some(id)) => Made::Release(id.clone()),
        ("refund", Some(id)) => Made::Refund(id.clone()),
        _ => Made::Authorisation,
    }
}

#[tokio::test]
async fn a_caller_that_repeats_gets_through_every_fault_with_one_effect() {
    let stand = Stand::new().await;
    for name in CALLS {
        for fault in FAULTS {
            let (order, call) = (Uuid::new_v4(), call());
            let id = prepared(&stand, name, order).await;
            stand.fault(fault, name).await;
            let done = make(&stand.payments(5), &call, (name, order, id.as_ref())).await;
            let (count, what) = (stand.count(&call), format!("{name} with {fault:?}: {done:?}"));
            // The sandbox may still hold the key of a request that hangs when the next one comes.
            let is_once_more = count.requests == 2 || fault == Fault::Hang;
            assert!(is_once_more, "{what}: {} requests", count.requests);
            if fault == Fault::Failed {
                // It is stored, so no repeat under this key ever takes effect.
                let Err(GatewayError::Declined { code }) = done else { panic!("{what}") };
                assert_eq!((code.as_str(), count.effects), ("provider_error", 0), "{what}");
            } else {
                assert!(done.is_ok() && count.effects == 1, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_caller_that_does_not_repeat_finds_out_what_became_of_its_call() {
    let stand = Stand::new().await;
    for name in CALLS {
        for fault in FAULTS {
            let (order, call) = (Uuid::new_v4(), call());
            let id = prepared(&stand, name, order).await;
            stand.fault(fault, name).await;
            let payments = stand.payments(1);
            let done = make(&payments, &call, (name, order, id.as_ref())).await;
            let found = payments.look_up(&call, &made(name, id.as_ref())).await.unwrap();
            let what = format!("{name} with {fault:?}: {done:?}, then {found:?}");
            match done {
                Err(GatewayError::Unavailable { retry_after, .. }) => {
                    assert_eq!(fault, Fault::Limited, "{what}");
                    assert_eq!(retry_after, Some(Duration::from_secs(1)), "{what}");
                }
                Err(GatewayError::Unknown { .. }) => assert_ne!(fault, Fault::Limited, "{what}"),
                _ => panic!("{what}"),
            }
            let is_effective = matches!(fault, Fault::Broken | Fault::Lost | Fault::Cut);
            assert_eq!(found.is_some(), is_effective, "{what}");
            assert_eq!(stand.count(&call).effects, u64::from(is_effective), "{what}");
            let state = found.map(|payment: Payment| payment.state);
            let expected = match name {
                "authorise" => PaymentState::Authorised,
                "release" => PaymentState::Released,
                _ => PaymentState::Captured,
            };
            assert!(state.is_none_or(|state| state == expected), "{what}");
        }
    }
}

/// The rates of the project's own target: 20 % fail, 5 % never answer.
#[tokio::test]
async fn two_hundred_payments_over_a_bad_line_are_each_taken_once() {
    let faults = Faults { error: 0.1, broken: 0.1, lost: 0.03, cut: 0.02, ..Faults::default() };
    let stand = Stand::with(faults, None).await;
    let payments = stand.payments(6);
    let one = async |order| {
        let (first, second) = (call(), call());
        let mut id = None;
        while id.is_none() {
            id = payments.authorise(&first, &asked(order)).await.ok().map(|payment| payment.id);
        }
        let id = id.unwrap();
        while payments.capture(&second, &id, money("25.99")).await.is_err() {}
    };
    let orders: Vec<Uuid> = (0..200).map(|_| Uuid::new_v4()).collect();
    let all = futures::stream::iter(&orders).map(|order| one(*order)).buffer_unordered(32);
    local_servers::in_time("all payments", all.collect::<()>()).await;
    for order in orders {
        let counted = stand.order(order);
        assert_eq!((counted.authorised, counted.captured_amount), (1, 2_599), "{order}");
    }
    let asked: u64 = stand.sandbox.counts().keys.values().map(|count| count.requests).sum();
    assert!(asked > 440, "only {asked} requests: nothing went wrong");
}

/// What a payment's state says when a fault meets the look-up itself.
#[tokio::test]
async fn a_look_up_is_repeated_and_never_of_unknown_outcome() {
    let (stand, call) = (Stand::new().await, call());
    stand.payments(1).authorise(&call, &asked(Uuid::new_v4())).await.unwrap();
    for fault in [Fault::Error, Fault::Limited, Fault::Hang, Fault::Broken, Fault::Cut] {
        stand.fault(fault, "read").await;
        let found = stand.payments(2).look_up(&call, &Made::Authorisation).await.unwrap();
        assert!(found.is_some(), "{fault:?}");
        stand.fault(fault, "read").await;
        let failed = stand.payments(1).look_up(&call, &Made::Authorisation).await.unwrap_err();
        assert!(matches!(failed, GatewayError::Unavailable { .. }), "{fault:?}: {failed}");
    }
}
