//! A consumer that records the stream while relays come and go.
//!
//! The final stream shows too little. A relay that published without the broker's check would
//! damage the stream, notice that, and recreate it. A consumer would have seen the damage by then.

use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::Info;
use event_feed::message::{STREAM, event_ref_of};
use event_store::{EventRef, Position};
use futures::StreamExt as _;
use local_servers::in_time;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{World, eventually, read_all};

/// Records messages from its start until it is checked.
pub(crate) struct Recorder {
    at_first: Info,
    stop: DropGuard,
    task: JoinHandle<Vec<(u64, EventRef)>>,
}

impl Recorder {
    /// Waits for the stream, and follows it from its first message.
    pub(crate) async fn start(world: &World) -> Self {
        eventually("there is a stream", || async { world.stream_info().await.is_some() }).await;
        let at_first = world.stream_info().await.unwrap();
        let stream = world.jetstream().await.get_stream(STREAM).await.unwrap();
        let consumer = stream.create_consumer(OrderedConfig::default()).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            // Runs until it is stopped.
            while let Some(Some(message)) = stopped.run_until_cancelled(messages.next()).await {
                let message = message.unwrap();
                let (_, mark) =
                    event_ref_of(message.headers.as_ref().unwrap()).expect("one of ours");
                seen.push((message.info().unwrap().stream_sequence, mark));
            }
            seen
        });
        Self { at_first, stop: stop.drop_guard(), task }
    }

    /// Checks that every sequence came once and in order, each with the event of that position, and
    /// that the stream was not recreated.
    pub(crate) async fn saw_only_p5(self, world: &World) {
        drop(self.stop);
        let seen = in_time("the record", self.task).await.unwrap();
        assert!(!seen.is_empty(), "nothing was recorded");
        let events = read_all(&world.store, Position::START).await;
        for (expected, (sequence, mark)) in (1..).zip(&seen) {
            assert_eq!(*sequence, expected, "P5: a consumer saw a sequence out of order");
            let event = &events[usize::try_from(expected - 1).unwrap()];
            assert_eq!(
                *mark,
                event.mark(),
                "P5: a consumer saw another event at sequence {expected}"
            );
        }
        let now = world.stream_info().await.unwrap();
        assert_eq!(
            now.created, self.at_first.created,
            "P5: the stream was damaged and created again"
        );
    }
}
