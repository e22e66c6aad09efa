//! Reads streams of events, and changes rows.

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use axum::response::Response;
use futures::StreamExt as _;
use local_servers::in_time;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::tokens::admin;
use crate::support::{Answer, App, event_at, send_as};

/// An event of a stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Event {
    /// The id of its row.
    pub(crate) fn row(&self) -> &str {
        self.data["data"]["id"].as_str().unwrap_or_default()
    }

    /// The name, the row's status, and the position.
    pub(crate) fn short(&self) -> (&str, &str, i64) {
        let status = self.data["data"]["status"].as_str().unwrap_or_default();
        (&self.name, status, self.data["meta"]["position"].as_i64().unwrap_or_default())
    }

    /// Why a stream ends or begins again.
    pub(crate) fn code(&self) -> &str {
        self.data["code"].as_str().unwrap_or_default()
    }
}

/// Collects the text of a stream into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    text: String,
    /// The id that a client resumes with.
    pub(crate) last_id: Option<String>,
    /// The number of heartbeats.
    pub(crate) heartbeats: usize,
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.push_str(std::str::from_utf8(bytes).unwrap());
    }

    /// The next event that is complete. As the standard says, an id counts without data, too.
    pub(crate) fn event(&mut self) -> Option<Event> {
        while let Some((block, rest)) = self.text.split_once("\n\n") {
            let (block, rest) = (block.to_owned(), rest.to_owned());
            self.text = rest;
            let field = |name: &str| {
                let mut lines = block.lines().filter_map(|line| line.split_once(": "));
                lines.find(|(field, _)| *field == name).map(|(_, value)| value.to_owned())
            };
            let id = field("id");
            if id.is_some() {
                self.last_id.clone_from(&id);
            }
            self.heartbeats += usize::from(block.starts_with(": heartbeat"));
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                return Some(Event { name, id, data: serde_json::from_str(&data).unwrap() });
            }
        }
        None
    }
}

/// An open stream.
pub(crate) struct Events {
    body: BodyDataStream,
    pub(crate) parser: Parser,
}

impl Events {
    /// Opens a stream of this path.
    pub(crate) async fn open(
        router: &Router,
        token: Option<&str>,
        path: &str,
        last_id: Option<&str>,
    ) -> Self {
        use tower::ServiceExt as _;
        let mut request = Request::get(path).header("accept", "text/event-stream");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        Self::reading(response)
    }

    /// Reads the stream of an answer.
    pub(crate) fn reading(response: Response) -> Self {
        let body = response.into_body().into_data_stream();
        Self { body, parser: Parser::default() }
    }

    /// Opens a stream of the administrator.
    pub(crate) async fn of(app: &App, path: &str) -> Self {
        Self::open(&app.router, Some(&admin()), path, None).await
    }

    /// Opens a stream of the administrator that goes on behind an event.
    pub(crate) async fn after(router: &Router, path: &str, last_id: &str) -> Self {
        Self::open(router, Some(&admin()), path, Some(last_id)).await
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        let next = async {
            loop {
                if let Some(event) = self.parser.event() {
                    return Some(event);
                }
                self.parser.push(&self.body.next().await?.unwrap());
            }
        };
        in_time("an event", next).await
    }

    /// The next events, up to one of this name.
    pub(crate) async fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await.unwrap_or_else(|| panic!("no {name}: {events:?}"));
            events.push(event);
            if events.last().is_some_and(|event| event.name == name) {
                return events;
            }
        }
    }

    /// The rows of the snapshot.
    pub(crate) async fn snapshot(&mut self) -> Vec<String> {
        let mut events = self.until("complete").await;
        events.pop();
        assert!(events.iter().all(|event| event.name == "row"), "{events:?}");
        events.iter().map(|event| event.row().to_owned()).collect()
    }

    /// The id that a client resumes with.
    pub(crate) fn last_id(&self) -> String {
        self.parser.last_id.clone().unwrap()
    }
}

/// The answer to a request for a stream that is refused.
pub(crate) async fn refused(app: &App, token: Option<&str>, path: &str) -> Answer {
    let request = Request::get(path).header("accept", "text/event-stream");
    send_as(&app.router, token, request.body(Body::empty()).unwrap()).await
}

impl App {
    /// Changes a row, and moves the checkpoint of its projection to `to` in the same transaction.
    /// `set` is SQL of this test.
    pub(crate) async fn change(
        &self,
        table: &str,
        id: Uuid,
        (set, position): (&str, i64),
        to: i64,
    ) {
        let mut batch = self.writer.begin().await.unwrap();
        let change = format!(
            "UPDATE {table}_g1.{table} SET {set}, position = $2, version = version + 1 WHERE \
                id = $1"
        );
        let changed = sqlx::query(AssertSqlSafe(change)).bind(id).bind(position);
        assert_eq!(changed.execute(&mut *batch).await.unwrap().rows_affected(), 1);
        let moved = sqlx::query(
            "UPDATE read_model.checkpoints SET epoch = $2, position = $3, event_id = $4
             WHERE projection = $1 AND generation = 1 AND position < $3",
        );
        let moved = moved.bind(table).bind(self.epoch).bind(to).bind(event_at(to));
        moved.execute(&mut *batch).await.unwrap();
        batch.commit().await.unwrap();
    }

    /// Gives an order a status at a position, and moves the checkpoint there.
    pub(crate) async fn set_status(&self, order: Uuid, status: &str, position: i64) {
        self.change("orders", order, (&format!("status = '{status}'"), position), position).await;
    }
}
