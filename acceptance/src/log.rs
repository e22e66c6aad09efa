//! Reads the log directly from Postgres and JetStream, without our processes, and checks its
//! invariants.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use futures::StreamExt;
use sqlx::postgres::{PgPool, PgPoolOptions};
use uuid::Uuid;

use crate::{Acknowledged, until};

const STREAM: &str = "EVENTS";
const EVENT_ID: &str = "ce-id";
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const MESSAGE_LIMIT: Duration = Duration::from_secs(20);

/// Both copies of the log, and the projections' positions.
#[derive(Debug, Clone)]
pub struct Log {
    event_store: PgPool,
    read_model: PgPool,
    nats: String,
}

impl Log {
    /// Opens the log in the event store's database and on the broker, and the read model's
    /// checkpoints. It connects on first use, and again after a restart.
    pub fn new(event_store: &str, read_model: &str, nats: &str) -> Result<Log> {
        let pool = |url: &str| {
            PgPoolOptions::new().max_connections(2).acquire_timeout(CONNECT_LIMIT).connect_lazy(url)
        };
        Ok(Log {
            event_store: pool(event_store)?,
            read_model: pool(read_model)?,
            nats: nats.to_owned(),
        })
    }

    /// The last position.
    pub async fn head(&self) -> Result<i64> {
        let head = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM event_store.events");
        Ok(head.fetch_one(&self.event_store).await?)
    }

    /// Closes the connections to the databases.
    pub async fn close(&self) {
        self.event_store.close().await;
        self.read_model.close().await;
    }

    /// The names of all projections.
    pub async fn projections(&self) -> Result<Vec<String>> {
        let live = "SELECT projection FROM read_model.generations WHERE live ORDER BY projection";
        Ok(sqlx::query_scalar(live).fetch_all(&self.read_model).await?)
    }

    /// The log's current epoch.
    pub async fn epoch(&self) -> Result<Uuid> {
        Ok(sqlx::query_scalar("SELECT epoch FROM event_store.log")
            .fetch_one(&self.event_store)
            .await?)
    }

    /// The type of the event at a position.
    pub async fn type_at(&self, position: i64) -> Result<String> {
        let event_type =
            sqlx::query_scalar("SELECT event_type FROM event_store.events WHERE position = $1");
        Ok(event_type.bind(position).fetch_one(&self.event_store).await?)
    }

    /// The number of events of a type.
    pub async fn count(&self, event_type: &str) -> Result<i64> {
        let count =
            sqlx::query_scalar("SELECT count(*) FROM event_store.events WHERE event_type = $1");
        Ok(count.bind(event_type).fetch_one(&self.event_store).await?)
    }

    /// I1: positions are 1..N, and each stream's versions are 1..n.
    pub async fn check_dense(&self) -> Result<()> {
        let positions = "SELECT count(*), coalesce(min(position), 1), coalesce(max(position), 0) \
            FROM event_store.events";
        let (count, first, last): (i64, i64, i64) =
            sqlx::query_as(positions).fetch_one(&self.event_store).await?;
        ensure!(
            first == 1 && last == count,
            "I1: {count} events have the positions {first} to {last}"
        );
        let gaps = "SELECT stream FROM event_store.events GROUP BY stream \
                    HAVING min(version) <> 1 OR max(version) <> count(*) LIMIT 10";
        let gaps: Vec<String> = sqlx::query_scalar(gaps).fetch_all(&self.event_store).await?;
        ensure!(gaps.is_empty(), "I1: the versions of {gaps:?} have gaps");
        Ok(())
    }

    /// I2, I3: each acknowledged event exists once at the answered position, in the order of real
    /// time.
    pub async fn check_acknowledged(&self, acknowledged: &[Acknowledged]) -> Result<()> {
        let registered =
            "SELECT stream, position FROM event_store.events WHERE event_type = 'user.registered'";
        let rows: Vec<(String, i64)> =
            sqlx::query_as(registered).fetch_all(&self.event_store).await?;
        let mut positions = HashMap::<String, Vec<i64>>::new();
        for (stream, position) in rows {
            positions.entry(stream).or_default().push(position);
        }
        for one in acknowledged {
            let found =
                positions.get(&format!("user-{}", one.id)).map(Vec::as_slice).unwrap_or_default();
            ensure!(
                found == [one.position],
                "I2: user {} was acknowledged at {}, the log has {found:?}",
                one.id,
                one.position
            );
        }
        // In the order of answers: an event requested after an answer must have a higher position
        // than all earlier answers.
        let mut by_answer: Vec<&Acknowledged> = acknowledged.iter().collect();
        by_answer.sort_by_key(|one| one.answered);
        let mut by_request = by_answer.clone();
        by_request.sort_by_key(|one| one.asked);
        let mut answers = by_answer.into_iter().peekable();
        let mut highest = 0;
        for one in by_request {
            while let Some(before) = answers.next_if(|before| before.answered < one.asked) {
                highest = highest.max(before.position);
            }
            let (id, at) = (one.id, one.position);
            ensure!(
                highest < at,
                "I3: user {id} is at {at}, but {highest} was answered before its request"
            );
        }
        Ok(())
    }

    /// When the JetStream stream was created. Another time means another stream.
    pub async fn stream_created(&self) -> Result<String> {
        let stream = self.stream().await?;
        Ok(stream.cached_info().created.to_string())
    }

    /// P5: each message of the stream carries the event whose position is the message's sequence,
    /// up to the head.
    pub async fn check_stream(&self) -> Result<()> {
        let stream = self.stream().await?;
        let state = stream.cached_info().state.clone();
        let events = "SELECT position, event_id FROM event_store.events WHERE position >= $1 \
            ORDER BY position";
        let first = i64::try_from(state.first_sequence)?;
        let events: Vec<(i64, Uuid)> =
            sqlx::query_as(events).bind(first).fetch_all(&self.event_store).await?;
        let (count, messages) = (u64::try_from(events.len())?, state.messages);
        ensure!(
            count == messages && messages > 0,
            "P5: {messages} messages from {first} on for {count} events"
        );
        let deliver_policy = jetstream::consumer::DeliverPolicy::All;
        let config = jetstream::consumer::pull::OrderedConfig {
            deliver_policy,
            headers_only: true,
            ..Default::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        for (position, event_id) in events {
            let message = tokio::time::timeout(MESSAGE_LIMIT, messages.next())
                .await?
                .context("the stream's end")??;
            let sequence = message.info().map_err(|error| anyhow::anyhow!(error))?.stream_sequence;
            let header = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get(EVENT_ID))
                .map(ToString::to_string);
            let expected = Some(event_id.to_string());
            ensure!(
                i64::try_from(sequence)? == position && header == expected,
                "P5: the message {sequence} carries {header:?}, the event at {position} is \
                    {expected:?}"
            );
        }
        Ok(())
    }

    /// I10: waits until the stream and every projection have reached the head, and returns its
    /// position.
    pub async fn wait_until_caught_up(&self, limit: Duration) -> Result<i64> {
        until("I10: the stream and all projections show the head", limit, async || {
            let (head, behind) = (self.head().await?, self.behind().await?);
            ensure!(behind.is_empty(), "head {head}; behind are {behind:?}");
            let published = self.published().await?;
            ensure!(published == head, "head {head}, the stream ends at {published}");
            Ok(Some(head))
        })
        .await
    }

    /// The position of the last event in the broker's stream.
    pub async fn published(&self) -> Result<i64> {
        Ok(i64::try_from(self.stream().await?.cached_info().state.last_sequence)?)
    }

    /// The projections that are behind the head, with their positions.
    pub async fn behind(&self) -> Result<Vec<(String, i64)>> {
        let head = self.head().await?;
        let mut checkpoints = self.checkpoints().await?;
        ensure!(!checkpoints.is_empty(), "no projection has a checkpoint yet");
        checkpoints.retain(|(_, position)| *position < head);
        Ok(checkpoints)
    }

    /// The position of every partition of every generation.
    pub async fn checkpoints(&self) -> Result<Vec<(String, i64)>> {
        let checkpoints = "SELECT format('%s_g%s/%s', projection, generation, partition), \
            position FROM read_model.checkpoints";
        Ok(sqlx::query_as(checkpoints).fetch_all(&self.read_model).await?)
    }

    async fn stream(&self) -> Result<jetstream::stream::Stream> {
        let (server, user) = split_user(&self.nats)?;
        let options = match user {
            Some((user, password)) => {
                async_nats::ConnectOptions::with_user_and_password(user, password)
            }
            None => async_nats::ConnectOptions::new(),
        };
        let client = options.connection_timeout(CONNECT_LIMIT).connect(server).await?;
        Ok(jetstream::new(client).get_stream(STREAM).await?)
    }
}

type Login = (String, String);

/// Splits `nats://user:password@host` into the server's address and the login.
fn split_user(url: &str) -> Result<(String, Option<Login>)> {
    let rest = url
        .strip_prefix("nats://")
        .with_context(|| "the broker's address does not begin with nats://")?;
    let Some((login, host)) = rest.split_once('@') else { return Ok((url.to_owned(), None)) };
    let (user, password) = login.split_once(':').context("a user without a password")?;
    Ok((format!("nats://{host}"), Some((user.to_owned(), password.to_owned()))))
}
