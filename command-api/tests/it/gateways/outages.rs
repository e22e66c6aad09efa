//! Providers that are away, or keep failing.

use command_api::port::GatewayError;
use command_api::port::payment::PaymentGateway as _;
use outward::State;

use super::*;

#[tokio::test]
async fn a_provider_that_is_away_took_no_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let payments = payments_at(address, settings(2));
    let failed = payments.authorise(&call(), &asked(Uuid::new_v4())).await.unwrap_err();
    assert!(matches!(failed, GatewayError::Unavailable { .. }), "{failed}");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_left_alone_until_a_probe_succeeds() {
    let open_for = Duration::from_secs(2);
    let breaker =
        BreakerSettings { min_attempts: 5, probes: 1, open_for, ..BreakerSettings::default() };
    let stand = Stand::with(Faults { error: 1.0, ..Faults::default() }, None).await;
    let payments = payments_at(stand.address, Settings { breaker, ..settings(5) });
    let (order, failing) = (Uuid::new_v4(), call());
    payments.authorise(&failing, &asked(order)).await.unwrap_err();
    assert_eq!(payments.report().state, State::Open);
    let refused = call();
    let error = payments.authorise(&refused, &asked(order)).await.unwrap_err();
    let GatewayError::Unavailable { retry_after, .. } = &error else { panic!("{error}") };
    assert!(retry_after.is_some_and(|wait| wait <= open_for), "{error:?}");
    assert_eq!(stand.count(&refused).requests, 0, "nothing was sent");
    let mended = serde_json::to_string(&Faults::default()).unwrap();
    stand.control("PUT", "/_faults", &mended).await;
    let through = async {
        while payments.authorise(&failing, &asked(order)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    local_servers::in_time("the breaker to close", through).await;
    assert_eq!(payments.report().state, State::Closed);
    assert_eq!(stand.order(order).authorised, 1);
}
