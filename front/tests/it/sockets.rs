//! Web sockets to the query API: what both sides send passes as it is, they have places among the
//! streams, and they end with the process.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::extract::ws::{Message as Said, WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use front::UpstreamLimits;
use futures::{SinkExt as _, StreamExt as _};
use local_servers::{in_time, until};
use service_kit::Problem;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{Double, PLENTY, Served, Setup, TestFront, described};

const PROTOCOL: (&str, &str) = ("sec-websocket-protocol", "graphql-transport-ws");
/// A header with which the double refuses a socket.
const REFUSED: (&str, &str) = ("authorization", "Bearer x");

type Socket = WebSocketStream<TcpStream>;

/// Says everything twice. It closes when it hears `close`, is gone at `leave`, and does nothing
/// more at `hold`.
async fn echo(
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    let Ok(upgrade) = upgrade else { return StatusCode::NOT_FOUND.into_response() };
    if request.headers().contains_key(REFUSED.0) {
        let refused = Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "No");
        return refused.into_response();
    }
    upgrade.protocols([PROTOCOL.1]).on_upgrade(|mut socket| async move {
        while let Some(Ok(Said::Text(text))) = socket.next().await {
            if text == "close" {
                let frame = axum::extract::ws::CloseFrame { code: 4403, reason: "no".into() };
                socket.send(Said::Close(Some(frame))).await.unwrap();
                continue;
            }
            match text.as_str() {
                "leave" => return,
                "hold" => std::future::pending().await,
                _ => {}
            }
            let twice = format!("{text}{text}");
            if socket.send(Said::Text(twice.into())).await.is_err() {
                return;
            }
        }
    })
}

struct Between {
    front: TestFront,
    queries: Double,
    apis: [Served; 2],
}

impl Between {
    async fn start(upstream: UpstreamLimits) -> Self {
        let routes = Router::new().route("/graphql", any(echo)).route("/api/v1/list", any(list));
        let queries = Double::new(&[described(&[("get", "/api/v1/list")])], None, routes);
        let commands = Double::new(&[described(&[])], None, Router::new());
        let apis = [commands.serve().await, queries.serve().await];
        let setup = Setup { upstream, ..Setup::default() };
        let front = TestFront::start(apis[0].address, apis[1].address, setup).await;
        Self { front, queries, apis }
    }

    async fn connect(&self, path: &str, headers: &[(&str, &str)]) -> Result<Socket, Error> {
        let address = self.front.served.address;
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
        }
        let connection = TcpStream::connect(address).await.unwrap();
        let connected = in_time("a web socket", client_async(request, connection)).await;
        connected.map(|(socket, answer)| {
            let protocol = answer.headers().get(PROTOCOL.0).map(HeaderValue::as_bytes);
            assert_eq!(protocol, Some(PROTOCOL.1.as_bytes()));
            socket
        })
    }

    /// The status with which a socket is refused.
    async fn refused(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        match self.connect(path, headers).await {
            Err(Error::Http(answer)) => answer.status().as_u16(),
            Err(error) => panic!("{error}"),
            Ok(_) => 101,
        }
    }
}

async fn list() -> &'static str {
    "a list"
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    in_time("a message", socket.next()).await
}

#[tokio::test]
async fn what_both_sides_send_passes_and_so_does_the_end() {
    let between = Between::start(PLENTY).await;
    let mut socket = between.connect("/graphql", &[PROTOCOL]).await.unwrap();
    for text in ["a".to_owned(), "b".repeat(100_000)] {
        socket.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(next(&mut socket).await.unwrap().unwrap(), Message::text(text.repeat(2)));
    }
    socket.send(Message::text("close")).await.unwrap();
    let Message::Close(Some(frame)) = next(&mut socket).await.unwrap().unwrap() else {
        panic!("it is not closed")
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4403, "no"));
    assert!(next(&mut socket).await.is_none());
    let (method, target, headers, _) = between.queries.seen().pop().unwrap();
    assert_eq!((method, target.as_str()), (Method::GET, "/graphql"));
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["via"], "1.1 front");
}

#[tokio::test]
async fn a_socket_that_the_api_refuses_or_that_goes_elsewhere_is_none() {
    let between = Between::start(PLENTY).await;
    assert_eq!(between.refused("/graphql", &[PROTOCOL, REFUSED]).await, 401);
    let evil = ("origin", "https://evil.example");
    assert_eq!(between.refused("/graphql", &[PROTOCOL, evil]).await, 403);
    // Another path is answered as if nothing was said of a socket.
    assert_eq!(between.refused("/api/v1/list", &[PROTOCOL]).await, 200);
    assert_eq!(between.refused("/api/v1/none", &[PROTOCOL]).await, 404);
    let Between { front, apis: [_commands, queries], .. } = between;
    queries.stop().await;
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    let away = front.ask(Method::GET, "/graphql", &upgrade, None).await;
    away.is_problem(503, "api/away");
}

#[tokio::test]
async fn sockets_take_places_of_streams_and_give_them_back() {
    let upstream = UpstreamLimits { requests: 1, streams: 1, ..PLENTY };
    let between = Between::start(upstream).await;
    let open = between.connect("/graphql", &[PROTOCOL]).await.unwrap();
    assert_eq!(between.refused("/graphql", &[PROTOCOL]).await, 503);
    assert_eq!(between.front.get("/api/v1/list").await.text, "a list");
    drop(open);
    let is_free = async || between.connect("/graphql", &[PROTOCOL]).await.is_ok();
    until("the place is free", is_free).await;
}

#[tokio::test]
async fn a_socket_of_which_one_side_has_ended_gives_its_place_back_soon() {
    for said in ["leave", "hold"] {
        let upstream = UpstreamLimits { requests: 1, streams: 1, ..PLENTY };
        let between = Between::start(upstream).await;
        let mut socket = between.connect("/graphql", &[PROTOCOL]).await.unwrap();
        socket.send(Message::text(said)).await.unwrap();
        if said == "hold" {
            // The API does not end, whatever the client does.
            socket.get_mut().shutdown().await.unwrap();
        }
        assert_eq!(between.refused("/graphql", &[PROTOCOL]).await, 503, "{said}");
        let began = Instant::now();
        let is_free = async || between.connect("/graphql", &[PROTOCOL]).await.is_ok();
        until("the place is free", is_free).await;
        // Between 3 s and the time after which a silent side is gone.
        assert!(began.elapsed() < Duration::from_secs(15), "{said}: {:?}", began.elapsed());
        drop(socket);
    }
}

#[tokio::test]
async fn sockets_end_when_the_front_drains_and_it_waits_for_them() {
    let between = Between::start(PLENTY).await;
    let mut socket = between.connect("/graphql", &[PROTOCOL]).await.unwrap();
    socket.send(Message::text("a")).await.unwrap();
    assert!(next(&mut socket).await.unwrap().is_ok());
    between.front.drain.cancel();
    let end = next(&mut socket).await;
    assert!(matches!(end, None | Some(Err(_))), "{end:?}");
    between.front.served.stop().await;
}
