//! Events that the sandbox sends, as the shop receives them.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State as Extracted;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use command_api::adapter::signed::Received;
use command_api::adapter::stripe::webhook::{About, Notice, SIGNATURE, Webhooks};
use command_api::port::payment::{PaymentGateway as _, PaymentState};
use tokio_util::sync::CancellationToken;

use super::*;

const SECRET: &str = "whsec_test";

/// A receiver of events, which is down at first.
#[derive(Debug, Clone)]
struct Receiver(Arc<Mutex<Taken>>, Arc<Webhooks>);

#[derive(Debug, Default)]
struct Taken {
    refused: u32,
    repeated: u32,
    notices: Vec<Notice>,
}

async fn receive(
    Extracted(receiver): Extracted<Receiver>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let signature = headers[SIGNATURE].to_str().unwrap();
    let now = clock::system().now();
    let mut taken = receiver.0.lock().unwrap();
    if taken.refused == 0 {
        taken.refused += 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match receiver.1.receive(signature, body.as_bytes(), now).unwrap() {
        // It cannot be acted on this time, so it must come again.
        Received::New(_, claim) if taken.refused == 1 => {
            drop(claim);
            taken.refused += 1;
            return StatusCode::INTERNAL_SERVER_ERROR;
        }
        Received::New(notice, claim) => {
            taken.notices.push(notice);
            claim.done();
        }
        Received::UnderWay => return StatusCode::CONFLICT,
        Received::Repeated => taken.repeated += 1,
    }
    StatusCode::OK
}

#[tokio::test]
async fn events_arrive_signed_at_least_once_and_are_told_apart() {
    let webhooks = Arc::new(Webhooks::new(&SECRET.into()));
    let receiver = Receiver(Arc::default(), webhooks);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let routes = Router::new().route("/hooks", post(receive)).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (payments, shipments) = ("/hooks".to_owned(), "/shipments".to_owned());
    let hooks = HookSettings { address, payments, shipments, secret: SECRET.to_owned() };
    let stand = Stand::with(Faults { twice: 1.0, ..Faults::default() }, Some(hooks)).await;
    let stop = CancellationToken::new();
    let (delivering, end) = (stand.sandbox.clone(), stop.clone());
    let delivering = tokio::spawn(async move { delivering.deliver(end).await });
    let (payments, authorise) = (stand.payments(3), call());
    let payment = payments.authorise(&authorise, &asked(Uuid::new_v4())).await.unwrap();
    payments.capture(&call(), &payment.id, money("25.99")).await.unwrap();
    payments.refund(&call(), &payment.id, money("1")).await.unwrap();
    let all = async {
        while stand.sandbox.counts().undelivered > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    local_servers::in_time("all events", all).await;
    stop.cancel();
    local_servers::in_time("the end", delivering).await.unwrap().unwrap();
    let taken = receiver.0.lock().unwrap();
    let mut states: Vec<_> = Vec::new();
    for notice in &taken.notices {
        match &notice.about {
            About::Payment { payment: told, key } => {
                assert_eq!((&told.id, *key), (&payment.id, Some(authorise.key)));
                states.push(told.state.clone());
            }
            about => assert_eq!(*about, About::PartOf(payment.id.clone())),
        }
    }
    // They may arrive in another order.
    states.sort_by_key(|state| *state == PaymentState::Captured);
    assert_eq!(states, [PaymentState::Authorised, PaymentState::Captured]);
    assert_eq!((taken.notices.len(), taken.repeated), (3, 3));
}
