//! A client of live updates, which reads server-sent events as their standard says.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::time::timeout;

/// How long a stream may be open.
pub(crate) const STREAM_LIMIT: Duration = Duration::from_mins(10);
/// How long the next event may take. A heartbeat comes every 15 s.
const EVENT_LIMIT: Duration = Duration::from_mins(1);

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveEvent {
    /// Its name, such as `changed`.
    pub name: String,
    /// Its data.
    pub data: Value,
}

impl LiveEvent {
    /// The id of its row, and the position up to which its client is complete.
    pub fn place(&self) -> Result<(&str, i64)> {
        let (id, position) = (&self.data["data"]["id"], &self.data["meta"]["position"]);
        let id = id.as_str().with_context(|| format!("no row: {self:?}"))?;
        Ok((id, position.as_i64().with_context(|| format!("no position: {self:?}"))?))
    }
}

/// An open stream.
#[derive(Debug)]
pub struct LiveStream {
    answer: reqwest::Response,
    text: String,
    last_id: Option<String>,
}

/// A part of a stream: an event, or a comment without one.
enum Block {
    Event(LiveEvent),
    Comment,
}

impl LiveStream {
    /// The id of the last event, to go on behind it.
    pub fn last_id(&self) -> Result<&str> {
        self.last_id.as_deref().context("no event had an id")
    }

    /// Waits for the next event.
    pub async fn event(&mut self) -> Result<LiveEvent> {
        let event = async {
            loop {
                if let Block::Event(event) = self.block().await? {
                    return Ok(event);
                }
            }
        };
        timeout(EVENT_LIMIT, event).await.context("there is no event")?
    }

    /// Reads events up to one of this name.
    pub async fn until(&mut self, name: &str) -> Result<Vec<LiveEvent>> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await.with_context(|| format!("{name} after {events:?}"))?);
            if events.last().is_some_and(|event| event.name == name) {
                return Ok(events);
            }
        }
    }

    /// Waits for a heartbeat. Fails if an event comes before it.
    pub async fn heartbeat(&mut self) -> Result<()> {
        match timeout(EVENT_LIMIT, self.block()).await.context("there is no heartbeat")?? {
            Block::Comment => Ok(()),
            Block::Event(event) => bail!("there is an event: {event:?}"),
        }
    }

    async fn block(&mut self) -> Result<Block> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                if let Some(block) = self.read(&block)? {
                    return Ok(block);
                }
            }
            let chunk = self.answer.chunk().await?.context("the stream has ended")?;
            self.text.push_str(std::str::from_utf8(&chunk)?);
        }
    }

    /// Reads a block. `None` if it is neither an event nor a comment.
    fn read(&mut self, block: &str) -> Result<Option<Block>> {
        let field = |name: &str| {
            let mut fields = block.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(field, _)| *field == name).map(|(_, value)| value)
        };
        // It counts without an event, too.
        if let Some(id) = field("id") {
            self.last_id = Some(id.to_owned());
        }
        if let Some(data) = field("data") {
            let name = field("event").unwrap_or("message").to_owned();
            return Ok(Some(Block::Event(LiveEvent { name, data: serde_json::from_str(data)? })));
        }
        Ok(block.starts_with(':').then_some(Block::Comment))
    }
}

/// The stream of an answer.
pub(crate) async fn opened(answer: reqwest::Response) -> Result<LiveStream> {
    let status = answer.status();
    ensure!(status.is_success(), "{status}: {}", answer.text().await?);
    Ok(LiveStream { answer, text: String::new(), last_id: None })
}
