//! One connection to RabbitMQ with a channel in confirm mode. Every call ends in time. After any
//! failure the link is dropped and a new one is opened, so no call of a former link counts.

use std::time::Duration;

use bytes::Bytes;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{
    BasicProperties, Channel, Confirmation, Connect as _, Connection, ConnectionProperties,
    ErrorKind, ExchangeKind,
};
use tokio::time::timeout;

use super::RabbitAddress;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// How long the server may take to answer a call.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// How long the server may take to say goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// How long the server may take to confirm a batch.
const CONFIRM_LIMIT: Duration = Duration::from_secs(4);
/// The smallest frame that holds the header of every message, in bytes. RabbitMQ's default is
/// larger.
const MIN_FRAME: u32 = 96 * 1024;

/// The server does not answer, or refuses.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("RabbitMQ does not answer in time: {0}")]
    Silent(&'static str),
    #[error("RabbitMQ: {0}: {1}")]
    Failed(&'static str, #[source] lapin::Error),
    #[error("RabbitMQ's frame_max is {0}, and messages need {MIN_FRAME}")]
    Frames(u32),
    #[error("another connection still publishes to RabbitMQ: it must end first")]
    Locked,
}

/// It is not known whether all messages were stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotConfirmed {
    #[error("RabbitMQ did not confirm in time")]
    TimedOut,
    #[error("RabbitMQ takes no messages now, because memory or disk space is short")]
    Blocked,
    #[error("RabbitMQ refused a message")]
    Refused,
    #[error("no queue has the name {0}")]
    Unroutable(ShortString),
    #[error("the connection to RabbitMQ failed: {0}")]
    Connection(#[from] lapin::Error),
}

impl NotConfirmed {
    /// The label of the metric.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Unroutable(_) => "unroutable",
            Self::Connection(_) => "connection",
        }
    }
}

/// A message to publish.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The exchange; empty for the one that leads to the queue of the routing key's name.
    pub(crate) exchange: ShortString,
    /// The routing key.
    pub(crate) routing_key: ShortString,
    /// Whether it is an error that no queue takes the message.
    pub(crate) mandatory: bool,
    /// The properties and headers.
    pub(crate) properties: BasicProperties,
    /// The content.
    pub(crate) payload: Bytes,
}

/// A connection and its channel.
pub(crate) struct Link {
    connection: Connection,
    /// The channel, in confirm mode.
    pub(crate) channel: Channel,
}

/// Waits for the server's answer.
async fn answer<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, LinkError> {
    match timeout(limit, call).await {
        Ok(answered) => answered.map_err(|error| LinkError::Failed(what, error)),
        Err(_) => Err(LinkError::Silent(what)),
    }
}

/// Waits for the server's answer to a call.
pub(crate) async fn called<T>(
    what: &'static str,
    call: impl Future<Output = lapin::Result<T>>,
) -> Result<T, LinkError> {
    answer(what, CALL_LIMIT, call).await
}

impl Link {
    /// Connects. `name` identifies this client to the server's operators.
    pub(crate) async fn open(address: &RabbitAddress, name: &str) -> Result<Self, LinkError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = address.uri().connect(properties);
        let connection = answer("connect", CONNECT_LIMIT, connecting).await?;
        let frame = connection.configuration().frame_max();
        if frame != 0 && frame < MIN_FRAME {
            return Err(LinkError::Frames(frame));
        }
        let channel = called("open a channel", connection.create_channel()).await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        called("ask for confirms", confirming).await?;
        Ok(Self { connection, channel })
    }

    /// Whether the connection is up, as far as this side knows.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// A further channel, for calls whose refusal closes it.
    pub(crate) async fn extra_channel(&self) -> Result<Channel, LinkError> {
        called("open a channel", self.connection.create_channel()).await
    }

    /// Whether the exchange exists.
    pub(crate) async fn has_exchange(&self, name: &str) -> Result<bool, LinkError> {
        let channel = self.extra_channel().await?;
        let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
        let (kind, arguments) = (ExchangeKind::Fanout, FieldTable::default());
        let asking = channel.exchange_declare(name.into(), kind, options, arguments);
        match called("look for an exchange", asking).await {
            Ok(()) => {
                called("close a channel", channel.close(200, "OK".into())).await?;
                Ok(true)
            }
            Err(LinkError::Failed(_, error)) if is_soft(&error, AMQPSoftError::NOTFOUND) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The number of messages in a queue, or `None` if the queue does not exist.
    pub(crate) async fn messages_in(&self, name: &ShortString) -> Result<Option<u32>, LinkError> {
        let channel = self.extra_channel().await?;
        let options = QueueDeclareOptions::default().passive();
        let asking = channel.queue_declare(name.clone(), options, FieldTable::default());
        match called("look for a queue", asking).await {
            Ok(queue) => {
                called("close a channel", channel.close(200, "OK".into())).await?;
                Ok(Some(queue.message_count()))
            }
            Err(LinkError::Failed(_, error)) if is_soft(&error, AMQPSoftError::NOTFOUND) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a lock that the server releases when this connection ends: a queue that only one
    /// connection can have.
    pub(crate) async fn lock(&self, name: &str) -> Result<(), LinkError> {
        let channel = self.extra_channel().await?;
        let (options, arguments) = (QueueDeclareOptions::exclusive(), FieldTable::default());
        match called("take the lock", channel.queue_declare(name.into(), options, arguments)).await
        {
            Ok(_) => called("close a channel", channel.close(200, "OK".into())).await,
            Err(LinkError::Failed(_, error)) if is_soft(&error, AMQPSoftError::RESOURCELOCKED) => {
                Err(LinkError::Locked)
            }
            Err(error) => Err(error),
        }
    }

    /// Publishes messages in order, and waits until the server has stored all of them.
    ///
    /// After an error, the link must be closed: what it sent may still arrive.
    pub(crate) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), NotConfirmed> {
        match timeout(CONFIRM_LIMIT, self.publish_all(messages)).await {
            Ok(published) => published,
            Err(_) if self.connection.status().blocked() => Err(NotConfirmed::Blocked),
            Err(_) => Err(NotConfirmed::TimedOut),
        }
    }

    async fn publish_all(&self, messages: Vec<Outgoing>) -> Result<(), NotConfirmed> {
        let mut confirms = Vec::with_capacity(messages.len());
        for message in messages {
            let Outgoing { exchange, routing_key, mandatory, properties, payload } = message;
            let options = BasicPublishOptions { mandatory, immediate: false };
            let key = routing_key.clone();
            let sending =
                self.channel.basic_publish(exchange, routing_key, options, &payload, properties);
            confirms.push((key, sending.await?));
        }
        for (key, confirm) in confirms {
            match confirm.await? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) => return Err(NotConfirmed::Unroutable(key)),
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    return Err(NotConfirmed::Refused);
                }
            }
        }
        Ok(())
    }

    /// Says goodbye, so that the server ends the connection at once. A server that does not answer
    /// ends it after two heartbeats.
    pub(crate) async fn close(self) {
        let closing = self.connection.close(200, "OK".into());
        if let Err(error) = answer("close", CLOSE_LIMIT, closing).await {
            tracing::debug!(%error, "a connection was not closed cleanly");
        }
    }
}

fn is_soft(error: &lapin::Error, kind: AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(kind))
}
