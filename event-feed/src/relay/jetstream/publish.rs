//! Publishes a run of events. The broker checks that the stream's last sequence is the position
//! before the run.
//!
//! An atomic batch is stored as a whole or not at all. If the broker refuses batches, messages are
//! sent one after another without waiting. Each expects the sequence before its own, so after a
//! failed message no later one is stored.

use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
    NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM,
};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{Request, RequestErrorKind};
use event_store::{Epoch, Position, RecordedEvent};
use nats_kit::NatsHandle;
use uuid::Uuid;

use crate::message::{Encoded, STREAM, encode};
use crate::relay::target::NotPublished;

#[cfg(test)]
mod tests;

/// The maximum number of messages in an atomic batch (the server's limit).
const MAX_BATCH: usize = 1_000;
/// The maximum number of bytes in a batch.
const MAX_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// The maximum number of unanswered publishes outside a batch.
const MAX_PIPELINED: usize = 256;
/// How long a batch may take until its last answer.
const DEADLINE: Duration = Duration::from_secs(4);

/// How several messages are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PublishMode {
    /// As one batch that is stored as a whole or not at all.
    Atomic,
    /// One by one without waiting, each expecting the one before.
    Pipelined,
}

/// Why it is not known whether a run of messages was stored. The stream's last sequence tells what
/// is.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error("no answer in time")]
    TimedOut,
    #[error("the stream does not exist")]
    NoStream,
    #[error("the stream has another last sequence")]
    WrongLastSequence,
    #[error("the broker does not accept an atomic batch now: {0}")]
    NotAtomic(String),
    #[error("refused: {0}")]
    Refused(String),
    #[error("the connection failed: {0}")]
    Connection(String),
}

impl PublishError {
    /// The label of the metric.
    const fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::NoStream => "no_stream",
            Self::WrongLastSequence => "wrong_last_sequence",
            Self::NotAtomic(_) => "not_atomic",
            Self::Refused(_) => "refused",
            Self::Connection(_) => "connection",
        }
    }
}

impl From<PublishError> for NotPublished {
    fn from(error: PublishError) -> Self {
        Self { kind: error.label(), why: error.to_string() }
    }
}

/// Encodes as many of the first events as one batch may hold.
pub(super) fn batch(events: &[RecordedEvent], epoch: Epoch, max_payload: usize) -> Vec<Encoded> {
    let mut bytes = 0;
    let mut messages = Vec::with_capacity(events.len().min(MAX_BATCH));
    for event in events.iter().take(MAX_BATCH) {
        let message = encode(event, epoch, max_payload);
        bytes += message.bytes;
        if !messages.is_empty() && bytes > MAX_BATCH_BYTES {
            break;
        }
        messages.push(message);
    }
    messages
}

/// Publishes the messages, the first of which follows `last`, and waits until the broker has stored
/// all of them.
pub(super) async fn publish(
    nats: &NatsHandle,
    mode: PublishMode,
    messages: Vec<Encoded>,
    last: Position,
) -> Result<(), PublishError> {
    let work = async {
        if mode == PublishMode::Atomic && messages.len() > 1 {
            publish_batch(nats, messages, last).await
        } else {
            publish_pipelined(nats, messages, last).await
        }
    };
    tokio::time::timeout(DEADLINE, work).await.unwrap_or(Err(PublishError::TimedOut))
}

async fn publish_batch(
    nats: &NatsHandle,
    messages: Vec<Encoded>,
    last: Position,
) -> Result<(), PublishError> {
    let batch = Uuid::now_v7().simple().to_string();
    let count = messages.len();
    for (index, mut message) in messages.into_iter().enumerate() {
        message.headers.insert(NATS_BATCH_ID, batch.as_str());
        message.headers.insert(NATS_BATCH_SEQUENCE, (index + 1).to_string());
        if index == 0 {
            message.headers.insert(NATS_EXPECTED_LAST_SEQUENCE, last.to_string());
            message.headers.insert(NATS_EXPECTED_STREAM, STREAM);
        }
        if index + 1 < count {
            // Without a reply subject, the server answers only the commit, for the whole batch.
            let sent = nats
                .client()
                .publish_with_headers(message.subject, message.headers, message.payload)
                .await;
            sent.map_err(|error| PublishError::Connection(error.to_string()))?;
            continue;
        }
        message.headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let request = Request::new()
            .headers(message.headers)
            .payload(message.payload)
            .timeout(Some(DEADLINE));
        let answer = nats.client().send_request(message.subject, request).await.map_err(
            |error| match error.kind() {
                RequestErrorKind::TimedOut => PublishError::TimedOut,
                RequestErrorKind::NoResponders => PublishError::NoStream,
                _ => PublishError::Connection(error.to_string()),
            },
        )?;
        let answer = serde_json::from_slice::<Response<PublishAck>>(&answer.payload);
        return match answer.map_err(|error| PublishError::Refused(error.to_string()))? {
            Response::Ok(ack) => expect_sequence(&ack, last.0, count),
            Response::Err { error } => Err(refusal(&error)),
        };
    }
    Ok(())
}

fn refusal(error: &async_nats::jetstream::Error) -> PublishError {
    match error.error_code() {
        ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT => {
            PublishError::WrongLastSequence
        }
        ErrorCode::ATOMIC_PUBLISH_DISABLED
        | ErrorCode::ATOMIC_PUBLISH_TOO_LARGE_BATCH
        | ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT
        | ErrorCode::ATOMIC_PUBLISH_UNSUPPORTED_HEADER => {
            PublishError::NotAtomic(error.to_string())
        }
        _ => PublishError::Refused(error.to_string()),
    }
}

async fn publish_pipelined(
    nats: &NatsHandle,
    messages: Vec<Encoded>,
    last: Position,
) -> Result<(), PublishError> {
    let context = nats.jetstream();
    let mut expected = last.0;
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let mut window: Vec<(i64, PublishAckFuture)> = Vec::with_capacity(MAX_PIPELINED);
        for mut message in messages.by_ref().take(MAX_PIPELINED) {
            message.headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
            message.headers.insert(NATS_EXPECTED_STREAM, STREAM);
            let publish = PublishMessage::build().headers(message.headers).payload(message.payload);
            let sent = context.send_publish(message.subject, publish).await;
            window.push((
                expected,
                sent.map_err(|error| PublishError::Connection(error.to_string()))?,
            ));
            expected += 1;
        }
        // All answers are awaited, even after a failure, so that none arrives during the next
        // attempt.
        let mut outcome = Ok(());
        for (before, ack) in window {
            let stored = match ack.await {
                Ok(ack) => expect_sequence(&ack, before, 1),
                Err(error) => Err(match error.kind() {
                    PublishErrorKind::TimedOut => PublishError::TimedOut,
                    PublishErrorKind::StreamNotFound => PublishError::NoStream,
                    PublishErrorKind::WrongLastSequence => PublishError::WrongLastSequence,
                    PublishErrorKind::BrokenPipe => PublishError::Connection(error.to_string()),
                    _ => PublishError::Refused(error.to_string()),
                }),
            };
            outcome = outcome.and(stored);
        }
        outcome?;
    }
    Ok(())
}

/// Checks the answer against the expected sequence. A mismatch means that the broker's check does
/// not work.
fn expect_sequence(ack: &PublishAck, last: i64, count: usize) -> Result<(), PublishError> {
    let expected =
        u64::try_from(last).ok().zip(u64::try_from(count).ok()).map(|(last, count)| last + count);
    if ack.stream == STREAM && Some(ack.sequence) == expected {
        Ok(())
    } else {
        Err(PublishError::Refused(format!(
            "stored in {} at sequence {}, not {expected:?}",
            ack.stream, ack.sequence
        )))
    }
}
