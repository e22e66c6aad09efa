//! Streams of the process: NATS goes away and comes back, and the process ends and starts again.

use std::time::{Duration, Instant};

use local_servers::{NatsOptions, NatsServer, http_get, in_time, until_within};
use uuid::Uuid;

use super::events::{Event, Parser};
use crate::process::Process;
use crate::support::tokens::admin;
use crate::support::{App, UserSeed};

/// How soon a process with open streams ends.
const END_LIMIT: Duration = Duration::from_secs(10);
/// How soon three heartbeats have come, which takes longer than an answer may.
const HEARTBEATS_LIMIT: Duration = Duration::from_secs(90);

/// A stream over a connection.
struct Connection {
    answer: reqwest::Response,
    parser: Parser,
}

impl Connection {
    async fn open(process: &Process, path: &str, last_id: Option<&str>) -> Self {
        // The client of other tests gives up after a while.
        let client = local_servers::loopback_client(2 * HEARTBEATS_LIMIT).unwrap();
        let mut request = client.get(format!("{}{path}", process.api)).bearer_auth(admin());
        request = request.header("accept", "text/event-stream");
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let answer = in_time("the stream", request.send()).await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { answer, parser: Parser::default() }
    }

    async fn event(&mut self) -> Option<Event> {
        let next = async {
            loop {
                if let Some(event) = self.parser.event() {
                    return Some(event);
                }
                self.parser.push(&self.answer.chunk().await.unwrap()?);
            }
        };
        in_time("an event", next).await
    }

    async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await.unwrap());
            if events.last().is_some_and(|event| event.name == name) {
                return events;
            }
        }
    }
}

/// Starts a process on the tables of `app`.
async fn serve(app: &App, nats: &str) -> Process {
    let settings = [("READ_MODEL_URL", app.database.url()), ("NATS_URL", nats)];
    let mut process = Process::start(&settings).await;
    process.ready().await;
    process
}

async fn order(app: &App) -> Uuid {
    let user = app.add_user(&UserSeed::number(1)).await;
    app.add_order(user, "pending", 0).await
}

// The client takes part in the drain, so it needs a thread of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_go_on_while_nats_is_away_and_end_with_the_process_and_go_on_in_the_next() {
    let app = App::silent(1).await;
    let order = order(&app).await;
    let mut nats = NatsServer::start(NatsOptions::default()).await.unwrap();
    let process = serve(&app, &nats.url()).await;
    let path = format!("/api/v1/orders/{order}");
    let mut stream = Connection::open(&process, &path, None).await;
    assert_eq!(stream.until("complete").await.len(), 2);
    let mut position = 100;
    for round in 0..3 {
        match round {
            0 => {}
            1 => nats.stop().await,
            _ => nats.start_again().await,
        }
        for _ in 0..3 {
            position += 1;
            app.set_status(order, "paid", position).await;
            assert_eq!(stream.event().await.unwrap().short(), ("changed", "paid", position));
        }
    }
    let metrics = http_get(format!("{}/metrics", process.admin)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("\nlive_streams 1\n"), "{metrics}");
    let began = Instant::now();
    let stopping = tokio::task::spawn_blocking(|| process.stop());
    let end = stream.event().await.unwrap();
    assert_eq!((end.name.as_str(), end.code()), ("end", "shutting-down"));
    assert_eq!(stream.event().await, None);
    let (code, log) = stopping.await.unwrap();
    assert!(code == Some(0) && began.elapsed() < END_LIMIT, "{log}");
    assert!(!log.contains("did not finish in time"), "{log}");
    app.set_status(order, "shipped", position + 1).await;
    let process = serve(&app, &nats.url()).await;
    let id = stream.parser.last_id.clone().unwrap();
    let mut stream = Connection::open(&process, &path, Some(&id)).await;
    let missed = stream.until("resumed").await;
    assert_eq!(missed.len(), 2, "{missed:?}");
    assert_eq!(missed[0].short(), ("changed", "shipped", position + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_outlives_the_deadline_of_answers_and_its_heartbeats_carry_the_position() {
    let app = App::silent(1).await;
    let order = order(&app).await;
    let other = app.add_order(Uuid::now_v7(), "pending", 1).await;
    let process = serve(&app, "nats://127.0.0.1:1").await;
    let mut stream = Connection::open(&process, &format!("/api/v1/orders/{order}"), None).await;
    stream.until("complete").await;
    app.set_status(other, "paid", 150).await;
    let mut bytes = async || {
        let chunk = in_time("a heartbeat", stream.answer.chunk()).await.unwrap().unwrap();
        stream.parser.push(&chunk);
        assert_eq!(stream.parser.event(), None);
        stream.parser.heartbeats
    };
    until_within(HEARTBEATS_LIMIT, "three heartbeats", async || bytes().await >= 3).await;
    let id = stream.parser.last_id.unwrap();
    assert!(id.starts_with("150."), "{id}");
}
