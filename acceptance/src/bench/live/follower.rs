//! A client of one stream, which knows what it must get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::plan::{Kind, Plan, Progress, Subject, event, id, position};
use crate::bench::crowd::{Moments, Wire, micros, source};

/// How long a stream may take to begin.
const OPEN_LIMIT: Duration = Duration::from_mins(1);
/// How long a stream may be silent: three of its heartbeats.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
/// The versions of the rows before the first event.
const ORDER_VERSION: u64 = 2;
const USER_VERSION: u64 = 3;

/// What all clients share.
pub(super) struct Followers {
    pub(super) server: SocketAddr,
    pub(super) bearer: String,
    pub(super) plan: Arc<Plan>,
    pub(super) moments: Arc<Moments>,
    pub(super) progress: Arc<Progress>,
}

/// A client whose stream has begun.
pub(super) struct Follower {
    client: usize,
    subject: Subject,
    wire: Wire,
    /// What came and is not looked at yet.
    text: Vec<u8>,
    plan: Arc<Plan>,
    moments: Arc<Moments>,
    progress: Arc<Progress>,
    seen: Seen,
}

/// What a client got.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The delays of the deliveries, in microseconds.
    pub(super) delays: Vec<u32>,
}

/// The data of a change.
#[derive(Deserialize)]
struct Changed {
    data: Row,
    meta: Meta,
}

#[derive(Deserialize)]
struct Row {
    id: Uuid,
    version: u64,
}

#[derive(Deserialize)]
struct Meta {
    position: i64,
}

/// An event of a stream, as text.
struct Sent<'t> {
    name: &'t str,
    id: &'t str,
    data: &'t str,
}

impl<'t> Sent<'t> {
    fn read(block: &'t str) -> Self {
        let mut sent = Self { name: "", id: "", data: "" };
        for (field, value) in block.lines().filter_map(|line| line.split_once(": ")) {
            match field {
                "event" => sent.name = value,
                "id" => sent.id = value,
                "data" => sent.data = value,
                _ => {}
            }
        }
        sent
    }
}

impl Followers {
    /// Connects a client, and reads what its stream begins with.
    pub(super) async fn open(&self, client: usize) -> anyhow::Result<Follower> {
        let subject = self.plan.subject(client);
        let opened = timeout(OPEN_LIMIT, async {
            let mut wire = Wire::connect(self.server, source(client)).await?;
            let bearer = &self.bearer;
            let headers = format!("accept: text/event-stream\r\nauthorization: {bearer}\r\n");
            wire.get(&subject.path(), &headers).await?;
            let mut follower = Follower {
                client,
                subject,
                wire,
                text: Vec::new(),
                plan: Arc::clone(&self.plan),
                moments: Arc::clone(&self.moments),
                progress: Arc::clone(&self.progress),
                seen: Seen::default(),
            };
            let mut has_begun = false;
            while !has_begun {
                follower.wire.read(&mut follower.text).await?;
                follower.blocks(|_, block| {
                    let name = Sent::read(block).name;
                    ensure!(!has_begun && matches!(name, "" | "row" | "complete"), "{block}");
                    has_begun |= name == "complete";
                    Ok(())
                })?;
            }
            anyhow::Ok(follower)
        });
        opened.await?.with_context(|| format!("{subject:?} of client {client}"))
    }
}

impl Follower {
    /// Reads until it is stopped. Reports to `done` when it has got everything.
    ///
    /// # Errors
    /// It got something else, or its stream ended.
    pub(super) async fn run(
        mut self,
        done: watch::Sender<usize>,
        mut stop: watch::Receiver<bool>,
    ) -> anyhow::Result<(Subject, Seen)> {
        let (mut next, step) = self.plan.events_of(self.subject);
        self.progress.record(self.client, next);
        let mut is_done = false;
        loop {
            if !is_done && next >= self.plan.events() {
                is_done = true;
                done.send_modify(|count| *count += 1);
            }
            let read = tokio::select! {
                biased;
                stopped = stop.wait_for(|stop| *stop) => {
                    stopped?;
                    ensure!(is_done, "stopped before the end");
                    return Ok((self.subject, self.seen));
                }
                read = timeout(SILENCE_LIMIT, self.wire.read(&mut self.text)) => read,
            };
            let taken = match read {
                Ok(Ok(())) => self.take(&mut next, step),
                Ok(Err(error)) => Err(error),
                Err(silent) => Err(silent.into()),
            };
            taken.with_context(|| format!("{:?} of client {}", self.subject, self.client))?;
        }
    }

    /// Takes what came, which must begin with the event `next`.
    fn take(&mut self, next: &mut u64, step: u64) -> anyhow::Result<()> {
        let came = self.moments.now();
        self.blocks(|this, block| {
            let sent = Sent::read(block);
            if sent.data.is_empty() {
                // A sign of life.
                return Ok(());
            }
            ensure!(sent.name == "changed", "{block}");
            this.check(&sent, *next)?;
            let at = this.moments.get(*next).context("it came before it was written")?;
            this.seen.delays.push(micros(at, came));
            *next += step;
            Ok(())
        })?;
        self.progress.record(self.client, *next);
        Ok(())
    }

    /// Checks that this is the change of an event.
    fn check(&self, sent: &Sent<'_>, number: u64) -> anyhow::Result<()> {
        let Changed { data, meta } = serde_json::from_str(sent.data)?;
        let (kind, row) = self.plan.changed(number);
        let version = match kind {
            Kind::Order => ORDER_VERSION,
            Kind::User => USER_VERSION,
        };
        let version = version + self.plan.changes(number);
        let wanted = (position(number), id(kind, row), version);
        let got = (meta.position, data.id, data.version);
        ensure!(
            got == wanted,
            "event {number} was to come, {wanted:?}, and {:?} came, {got:?}",
            event(meta.position)
        );
        // A client resumes behind the id.
        let place = format!("{}.", wanted.0);
        ensure!(
            sent.id.starts_with(&place) && sent.id.ends_with(&wanted.1.simple().to_string()),
            "the id {} is not of {wanted:?}",
            sent.id
        );
        Ok(())
    }

    /// Calls `take` with each block of text that is complete.
    fn blocks(
        &mut self,
        mut take: impl FnMut(&mut Self, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let text = std::mem::take(&mut self.text);
        let mut rest = text.as_slice();
        while let Some(end) = rest.windows(2).position(|two| two == b"\n\n") {
            take(self, std::str::from_utf8(&rest[..end])?)?;
            rest = &rest[end + 2..];
        }
        // An idle client keeps no memory.
        self.text = rest.to_vec();
        ensure!(!self.wire.is_done(), "the stream ended");
        Ok(())
    }
}
