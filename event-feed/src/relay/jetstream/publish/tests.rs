//! Tests that the broker refuses messages that do not follow its last one, in both publish modes.

#![allow(clippy::unwrap_used, reason = "tests")]

use event_store::{EventType, Metadata, StreamName, Version};
use local_servers::{NatsOptions, NatsServer};
use postgres_kit::Term;
use serde_json::value::RawValue;

use super::*;
use crate::relay::StreamLimits;
use crate::relay::jetstream::stream::Broker;

const EPOCH: Epoch = Epoch(Uuid::nil());
const MAX_PAYLOAD: usize = 1024 * 1024;

fn event(position: i64) -> RecordedEvent {
    RecordedEvent {
        position: Position(position),
        stream: StreamName::new("thing", Uuid::nil()).unwrap(),
        version: Version(position),
        fragment: 0,
        id: Uuid::now_v7(),
        event_type: "thing.happened".parse::<EventType>().unwrap(),
        schema_version: 1,
        data: RawValue::from_string("{}".to_owned()).unwrap(),
        tags: Vec::new(),
        metadata: Metadata::new(Uuid::now_v7()),
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        bytes: 2,
    }
}

fn messages(positions: std::ops::RangeInclusive<i64>) -> Vec<Encoded> {
    positions.map(|position| encode(&event(position), EPOCH, MAX_PAYLOAD)).collect()
}

#[tokio::test]
async fn p5_the_broker_refuses_a_run_that_does_not_follow_its_last_message() {
    for mode in [PublishMode::Atomic, PublishMode::Pipelined] {
        let server = NatsServer::start(NatsOptions::default()).await.unwrap();
        let nats = NatsHandle::connect(&server.url(), "test").await.unwrap();
        let broker = Broker::new(
            nats.clone(),
            StreamLimits { max_messages: -1, max_bytes: -1, replicas: 1 },
        );
        broker.create(EPOCH, Term(1), Position(1)).await.unwrap();
        publish(&nats, mode, messages(1..=3), Position(0)).await.unwrap();
        // Behind and ahead, single and several.
        for (positions, last) in [(1..=1, 0), (2..=3, 1), (1..=3, 0), (6..=6, 5), (7..=9, 6)] {
            let refused = publish(&nats, mode, messages(positions.clone()), Position(last)).await;
            assert!(
                matches!(refused, Err(PublishError::WrongLastSequence)),
                "{mode:?} {positions:?} after {last}: {refused:?}"
            );
            assert_eq!(
                last_sequence(&broker).await,
                3,
                "{mode:?} {positions:?} after {last} left something behind"
            );
        }
        publish(&nats, mode, messages(4..=5), Position(3)).await.unwrap();
        assert_eq!(last_sequence(&broker).await, 5);
    }
}

#[test]
fn a_batch_holds_no_more_than_it_may_but_always_one_message() {
    let of = |bytes: usize| {
        let data = RawValue::from_string(format!("\"{}\"", "x".repeat(bytes))).unwrap();
        move |position| RecordedEvent { data: data.clone(), ..event(position) }
    };
    let several: Vec<_> = (1..=20).map(of(MAX_PAYLOAD / 2)).collect();
    let several = batch(&several, EPOCH, MAX_PAYLOAD);
    let bytes: usize = several.iter().map(|message| message.bytes).sum();
    assert!(several.len() > 1 && bytes <= MAX_BATCH_BYTES, "{bytes} in {}", several.len());
    let huge: Vec<_> = (1..=2).map(of(MAX_BATCH_BYTES)).collect();
    assert_eq!(batch(&huge, EPOCH, usize::MAX).len(), 1);
    let many: Vec<_> = (1..=2_000).map(event).collect();
    assert_eq!(batch(&many, EPOCH, MAX_PAYLOAD).len(), MAX_BATCH);
}

#[test]
fn an_answer_that_names_another_place_than_the_expected_one_is_not_taken() {
    assert!(expect_sequence(&ack(STREAM, 5), 3, 2).is_ok());
    for wrong in [ack(STREAM, 4), ack(STREAM, 6), ack("ANOTHER", 5)] {
        let refused = expect_sequence(&wrong, 3, 2);
        assert!(matches!(refused, Err(PublishError::Refused(_))), "{wrong:?}: {refused:?}");
    }
}

fn ack(stream: &str, sequence: u64) -> PublishAck {
    let stream = stream.to_owned();
    PublishAck { stream, sequence, ..PublishAck::default() }
}

async fn last_sequence(broker: &Broker) -> u64 {
    broker.info().await.unwrap().unwrap().state.last_sequence
}
