//! Follows the resource that CONTRIBUTING adds, at the one address of both APIs: as a stream of
//! server-sent events, and as a subscription over a web socket.

use acceptance::Endpoints;
use anyhow::{Context as _, Result, ensure};
use futures::{SinkExt as _, StreamExt as _};
use local_servers::in_time;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, client_async};

const COUPONS: &str = "subscription {
    coupons { event coupon { id percent isWithdrawn } left page { hasNextPage } }
}";

/// Follows a coupon, those with its discount and all of them, and changes it.
pub(super) async fn follow(endpoints: &Endpoints, id: &str) -> Result<()> {
    let client = endpoints.client_of_front()?;
    let path = format!("/api/v1/coupons/{id}");
    let shown = client.get(&path).await?.expect(StatusCode::OK)?;
    let (before, now) = (shown.data()["percent"].clone(), 30);
    let mut one = client.follow(&path, None).await?;
    ensure!(one.until("complete").await?.len() == 2, "a coupon is one row");
    let mut filtered = client.follow(&format!("/api/v2/coupons?percent={before}"), None).await?;
    ensure!(filtered.until("complete").await?.len() == 2, "one coupon has this discount");
    let mut socket = Socket::open(&endpoints.front).await?;
    socket.subscribe(COUPONS).await?;
    while socket.event().await?["event"] != "COMPLETE" {}

    let change = Some(json!({"percent": now}));
    let changed = client.command(Method::PATCH, &path, change.as_ref(), &[]).await?;
    let position = changed.expect(StatusCode::OK)?.position()?;
    let event = one.event().await?;
    assert_eq!((event.name.as_str(), event.place()?), ("changed", (id, position)));
    assert_eq!(event.data["data"]["percent"], now);
    let left = filtered.event().await?;
    assert_eq!((left.name.as_str(), left.place()?), ("left", (id, position)));
    let event = socket.event().await?;
    let coupon = json!({"id": id, "percent": now, "isWithdrawn": false});
    assert_eq!((&event["event"], &event["coupon"]), (&json!("CHANGED"), &coupon));
    Ok(())
}

/// A web socket of a client of the protocol `graphql-transport-ws`.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens a socket without a token: coupons are public.
    async fn open(front: &str) -> Result<Socket> {
        let address = front.strip_prefix("http://").context("an address of http")?;
        let mut request = format!("ws://{address}/graphql").into_client_request()?;
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let connection = TcpStream::connect(address).await?;
        let (stream, _) = in_time("a web socket", client_async(request, connection)).await?;
        let mut socket = Socket(stream);
        socket.send(&json!({"type": "connection_init"})).await?;
        let answer = socket.next().await?;
        ensure!(answer["type"] == "connection_ack", "{answer}");
        Ok(socket)
    }

    async fn subscribe(&mut self, query: &str) -> Result<()> {
        self.send(&json!({"type": "subscribe", "id": "1", "payload": {"query": query}})).await
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }

    /// The next event of the subscription.
    async fn event(&mut self) -> Result<Value> {
        let message = self.next().await?;
        let event = message["payload"]["data"]["coupons"].clone();
        ensure!(message["type"] == "next" && event.is_object(), "{message}");
        Ok(event)
    }

    async fn next(&mut self) -> Result<Value> {
        let next = async {
            loop {
                let message = self.0.next().await.context("the socket has ended")??;
                match message {
                    Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                    Message::Ping(_) | Message::Pong(_) => {}
                    other => anyhow::bail!("{other:?}"),
                }
            }
        };
        in_time("a message of a web socket", next).await
    }
}
