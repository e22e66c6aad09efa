//! The exchanges and queues: their names, and how they are declared. Relay and consumers declare
//! the same, in any order.
//!
//! Queues are *quorum queues*: replicated in a cluster, and on disk before a message is confirmed.
//! A queue has one active consumer at a time, so its events are taken in order. What is rejected
//! goes to `<queue>.dead`. Events that are to be tried again wait in `<queue>.retry.<milliseconds>`
//! until its time to live sends them back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::link::{LinkError, called};
use super::message::text;

/// The durable topic exchange of all events.
pub const EXCHANGE: &str = "events";
/// An exchange that nobody publishes to and only the relay declares. Its absence shows that the
/// server lost its data.
pub const MARK: &str = "events.relay";
/// The queue that only the publishing connection has.
pub(crate) const PUBLISHER: &str = "events.publisher";

/// The maximum length of a queue's name, in bytes. The names of its other queues are longer.
const MAX_NAME: usize = 200;
/// The maximum length of a pattern, in bytes.
const MAX_PATTERN: usize = 255;
/// The first word of every routing key.
const FIRST_WORD: &str = "events";

/// Why a text does not name queues.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The name of a queue is not valid.
    #[error(
        "{0:?} is not the name of a queue: letters, digits, dots, hyphens and underscores, at most \
         {MAX_NAME}, and neither `amq.` nor `events.` at the beginning"
    )]
    Name(String),
    /// A pattern is not valid.
    #[error(
        "{0:?} is not a pattern of events, such as events.order.placed, events.order.* or events.#"
    )]
    Pattern(String),
    /// A queue has no pattern.
    #[error("{0:?} is not a queue with its patterns, such as shipping=events.order.*")]
    Shape(String),
    /// A queue is named twice.
    #[error("the queue {0} is named twice")]
    Twice(QueueName),
}

/// The name of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueName(String);

impl FromStr for QueueName {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        // RabbitMQ keeps the first prefix for itself, and the relay the second one.
        let is_reserved = ["amq.", "events."].iter().any(|prefix| text.starts_with(prefix));
        if text.is_empty() || text.len() > MAX_NAME || is_reserved || !text.chars().all(is_valid) {
            return Err(TopologyError::Name(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl QueueName {
    /// The queue of events.
    pub(crate) fn events(&self) -> ShortString {
        self.0.as_str().into()
    }

    /// The queue of what was rejected.
    pub(crate) fn dead(&self) -> ShortString {
        format!("{}.dead", self.0).into()
    }

    /// The queue of events that wait for this time.
    pub(crate) fn retry(&self, delay: Duration) -> ShortString {
        format!("{}.retry.{}", self.0, delay.as_millis()).into()
    }
}

/// Which routing keys lead to a queue: words with a dot between two, where `*` is any word and `#`
/// any number of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl FromStr for Pattern {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        let is_word = |word: &str| {
            matches!(word, "*" | "#")
                || (!word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        };
        let starts = text.split('.').next() == Some(FIRST_WORD);
        if !starts || text.len() > MAX_PATTERN || !text.split('.').all(is_word) {
            return Err(TopologyError::Pattern(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A durable queue, and the events that it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The name of the queue.
    pub name: QueueName,
    /// The events that it gets: those that match any of these.
    pub patterns: Vec<Pattern>,
}

impl FromStr for Queue {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        let shape = || TopologyError::Shape(text.to_owned());
        let (name, patterns) = text.split_once('=').ok_or_else(shape)?;
        let patterns = patterns.split(',').map(|pattern| pattern.trim().parse());
        Ok(Self { name: name.trim().parse()?, patterns: patterns.collect::<Result<_, _>>()? })
    }
}

/// Queues as a setting names them: `shipping=events.order.*,events.user.*;audit=events.#`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queues(
    /// The queues, each with a name of its own.
    pub Vec<Queue>,
);

impl FromStr for Queues {
    type Err = TopologyError;

    fn from_str(text: &str) -> Result<Self, TopologyError> {
        let mut queues: Vec<Queue> = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let queue: Queue = part.parse()?;
            if queues.iter().any(|other| other.name == queue.name) {
                return Err(TopologyError::Twice(queue.name));
            }
            queues.push(queue);
        }
        Ok(Self(queues))
    }
}

/// Declares the exchange of events.
pub(crate) async fn declare_exchange(channel: &Channel) -> Result<(), LinkError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let arguments = FieldTable::default();
    let declaring =
        channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, arguments);
    called("declare the exchange", declaring).await
}

/// Declares the mark of the relay's data.
pub(crate) async fn declare_mark(channel: &Channel) -> Result<(), LinkError> {
    let options = ExchangeDeclareOptions { durable: true, internal: true, ..Default::default() };
    let arguments = FieldTable::default();
    let declaring =
        channel.exchange_declare(MARK.into(), ExchangeKind::Fanout, options, arguments);
    called("declare the mark", declaring).await
}

/// Declares a queue with its queue of rejected events, and binds it to its events. The exchange
/// must exist.
pub(crate) async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<(), LinkError> {
    let (name, dead) = (queue.name.events(), queue.name.dead());
    declare(channel, dead.clone(), quorum([])).await?;
    let arguments = quorum([
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(dead.as_str())),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]);
    declare(channel, name.clone(), arguments).await?;
    for pattern in &queue.patterns {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let key = pattern.0.as_str().into();
        let binding = channel.queue_bind(name.clone(), EXCHANGE.into(), key, options, arguments);
        called("bind a queue", binding).await?;
    }
    Ok(())
}

/// Declares the queues in which events of a queue wait until they are tried again.
pub(crate) async fn declare_retries(
    channel: &Channel,
    name: &QueueName,
    delays: &[Duration],
) -> Result<(), LinkError> {
    for delay in delays {
        let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let arguments = quorum([
            ("x-message-ttl", AMQPValue::LongLongInt(milliseconds)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(name.events().as_str())),
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ]);
        declare(channel, name.retry(*delay), arguments).await?;
    }
    Ok(())
}

async fn declare(
    channel: &Channel,
    name: ShortString,
    arguments: FieldTable,
) -> Result<(), LinkError> {
    let declaring = channel.queue_declare(name, QueueDeclareOptions::durable(), arguments);
    called("declare a queue", declaring).await.map(drop)
}

fn quorum<const N: usize>(others: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    for (name, value) in others {
        arguments.insert(name.into(), value);
    }
    arguments
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn queues_are_read_from_a_setting() {
        let queues: Queues =
            "shipping=events.order.*, events.user.#; audit = events.#;".parse().unwrap();
        let shown: Vec<String> = queues
            .0
            .iter()
            .map(|queue| {
                let patterns: Vec<String> = queue.patterns.iter().map(Pattern::to_string).collect();
                format!("{}: {}", queue.name, patterns.join(" "))
            })
            .collect();
        assert_eq!(shown, ["shipping: events.order.* events.user.#", "audit: events.#"]);
        assert_eq!("".parse(), Ok(Queues::default()));
    }

    #[test]
    fn what_is_wrong_is_repeated() {
        for (text, wrong) in [
            ("shipping", "\"shipping\""),
            ("shipping=", "\"\""),
            ("ship ping=events.#", "\"ship ping\""),
            ("amq.ping=events.#", "\"amq.ping\""),
            ("events.relay=events.#", "\"events.relay\""),
            ("=events.#", "\"\""),
            ("a=orders.#", "\"orders.#\""),
            ("a=events..x", "\"events..x\""),
            ("a=events.o*", "\"events.o*\""),
            ("a=events.#;a=events.#", "the queue a is named twice"),
        ] {
            let error = text.parse::<Queues>().unwrap_err().to_string();
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    #[test]
    fn the_longest_name_leaves_room_for_the_names_of_its_other_queues() {
        let name: QueueName = "q".repeat(MAX_NAME).parse().unwrap();
        assert!(name.retry(Duration::from_secs(u64::MAX / 1_000)).as_str().len() <= 255);
        assert!(name.dead().as_str().len() <= 255);
    }
}
