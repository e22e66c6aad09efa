//! Payments by the adapter of Stripe.

use command_api::port::payment::{
    Authorisation, Made, MethodToken, PaymentGateway as _, PaymentId, PaymentState, Refunded,
};
use command_api::port::{Code, GatewayError};

use super::*;

fn invalid(code: &str) -> GatewayError {
    GatewayError::Invalid { code: Code::new(code) }
}

fn declined(code: &str) -> GatewayError {
    GatewayError::Declined { code: Code::new(code) }
}

#[tokio::test]
async fn a_payment_is_authorised_captured_and_refunded_in_parts() {
    let (stand, order) = (Stand::new().await, Uuid::new_v4());
    let payments = stand.payments(3);
    let authorised = payments.authorise(&call(), &asked(order)).await.unwrap();
    assert_eq!((authorised.state, authorised.order), (PaymentState::Authorised, Some(order)));
    assert_eq!((authorised.amount, authorised.captured), (money("25.99"), money("0")));
    let captured = payments.capture(&call(), &authorised.id, money("20")).await.unwrap();
    assert_eq!((captured.state, captured.captured), (PaymentState::Captured, money("20")));
    for amount in ["5", "15"] {
        let refunded = payments.refund(&call(), &authorised.id, money(amount)).await;
        assert_eq!(refunded, Ok(Refunded::Done));
    }
    let more = payments.refund(&call(), &authorised.id, money("0.01")).await;
    assert_eq!(more, Err(invalid("charge_already_refunded")));
    let counted = stand.order(order);
    assert_eq!((counted.captured_amount, counted.refunded_amount), (2_000, 2_000));
}

#[tokio::test]
async fn an_authorisation_is_released() {
    let (stand, order) = (Stand::new().await, Uuid::new_v4());
    let payments = stand.payments(3);
    let authorised = payments.authorise(&call(), &asked(order)).await.unwrap();
    let released = payments.release(&call(), &authorised.id).await.unwrap();
    assert_eq!(released.state, PaymentState::Released);
    let late = payments.capture(&call(), &authorised.id, money("1")).await;
    assert_eq!(late, Err(invalid("payment_intent_unexpected_state")));
    let counted = stand.order(order);
    assert_eq!((counted.released, counted.captured), (1, 0));
}

#[tokio::test]
async fn a_repeat_has_the_same_answer_and_one_effect_and_another_request_is_refused() {
    let (stand, order, call) = (Stand::new().await, Uuid::new_v4(), call());
    let payments = stand.payments(3);
    let first = payments.authorise(&call, &asked(order)).await.unwrap();
    assert_eq!(payments.authorise(&call, &asked(order)).await.unwrap(), first);
    let dearer = Authorisation { amount: money("26"), ..asked(order) };
    assert_eq!(payments.authorise(&call, &dearer).await, Err(invalid("key_reused")));
    let count = stand.count(&call);
    assert_eq!((count.operation.as_str(), count.requests, count.effects), ("authorise", 3, 1));
    assert_eq!(stand.order(order).authorised, 1);
}

#[tokio::test]
async fn a_bank_that_declines_says_why_and_says_so_again() {
    let (stand, call) = (Stand::new().await, call());
    let payments = stand.payments(3);
    let token = "pm_card_visa_chargeDeclinedInsufficientFunds";
    let method = MethodToken::parse(token).unwrap();
    let poor = Authorisation { method, ..asked(Uuid::new_v4()) };
    for _ in 0..2 {
        let refused = payments.authorise(&call, &poor).await;
        assert_eq!(refused, Err(declined("insufficient_funds")));
    }
    assert_eq!(stand.order(poor.order).declined, 1);
    let found = payments.look_up(&call, &Made::Authorisation).await.unwrap().unwrap();
    assert_eq!(found.state, PaymentState::Declined(Code::new("insufficient_funds")));
}

#[tokio::test]
async fn what_became_of_a_call_is_found_by_its_key() {
    let (stand, order) = (Stand::new().await, Uuid::new_v4());
    let payments = stand.payments(3);
    let (authorise, capture, release, refund) = (call(), call(), call(), call());
    assert_eq!(payments.look_up(&authorise, &Made::Authorisation).await, Ok(None));
    let payment = payments.authorise(&authorise, &asked(order)).await.unwrap();
    let id = payment.id.clone();
    let found = payments.look_up(&authorise, &Made::Authorisation).await.unwrap();
    assert_eq!(found, Some(payment));
    for (call, made) in [
        (&call(), Made::Authorisation),
        (&capture, Made::Capture(id.clone())),
        (&release, Made::Release(id.clone())),
        (&refund, Made::Refund(id.clone())),
    ] {
        assert_eq!(payments.look_up(call, &made).await, Ok(None), "{made:?}");
    }
    let captured = payments.capture(&capture, &id, money("25.99")).await.unwrap();
    let found = payments.look_up(&capture, &Made::Capture(id.clone())).await.unwrap();
    assert_eq!(found, Some(captured));
    payments.refund(&refund, &id, money("1")).await.unwrap();
    assert!(payments.look_up(&refund, &Made::Refund(id.clone())).await.unwrap().is_some());
    assert_eq!(payments.look_up(&call(), &Made::Refund(id)).await, Ok(None));
}

#[tokio::test]
async fn an_authorisation_is_found_among_many_later_ones() {
    let (stand, first) = (Stand::new().await, call());
    let payments = stand.payments(3);
    let payment = payments.authorise(&first, &asked(Uuid::new_v4())).await.unwrap();
    for _ in 0..250 {
        payments.authorise(&call(), &asked(Uuid::new_v4())).await.unwrap();
    }
    let found = payments.look_up(&first, &Made::Authorisation).await.unwrap();
    assert_eq!(found, Some(payment));
    assert_eq!(payments.look_up(&call(), &Made::Authorisation).await, Ok(None));
}

#[tokio::test]
async fn a_wrong_secret_key_is_a_wrong_setting_and_declines_nothing() {
    let stand = Stand::new().await;
    let (address, key) = (format!("http://{}", stand.address).parse().unwrap(), "sk_live_1".into());
    let payments = Stripe::new("payments", address, &key, settings(3)).unwrap();
    let refused = payments.authorise(&call(), &asked(Uuid::new_v4())).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Unavailable { .. }), "{refused}");
    assert!(!format!("{refused:?} {payments:?}").contains("sk_live"), "{refused:?}");
}

#[tokio::test]
async fn a_payment_that_is_not_there_is_invalid() {
    let stand = Stand::new().await;
    let nobodys = PaymentId::parse("pi_99").unwrap();
    let refused = stand.payments(3).capture(&call(), &nobodys, money("1")).await;
    assert_eq!(refused, Err(invalid("resource_missing")));
}
