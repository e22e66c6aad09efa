//! Calls over real connections: redirects, long answers, and servers that are away, silent or cut
//! the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use local_servers::in_time;
use outward::{CallError, Effect, Http, Reason, Repeat, Request, Settings, Target};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What a server sends on each connection before it closes it; `None` keeps it open and silent.
type Says = Option<&'static [u8]>;

/// A server that says the same to every request, and passes on what it received.
async fn server(says: Says) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = socket.read(&mut request).await.unwrap();
                let _test_may_be_over =
                    heard.send(String::from_utf8_lossy(&request[..length]).into());
                match says {
                    Some(says) => socket.write_all(says).await.unwrap(),
                    None => std::future::pending().await,
                }
            });
        }
    });
    (address, hears)
}

fn target(address: SocketAddr) -> Target {
    let settings = Settings {
        attempt_limit: Duration::from_millis(500),
        total_limit: Duration::from_secs(5),
        attempts: 2,
        first_pause: Duration::from_millis(10),
        max_answer: 10,
        ..Settings::default()
    };
    let address = format!("http://{address}").parse().unwrap();
    Target::new("target", Http::new(address, &settings).unwrap(), settings)
}

async fn failure(says: Says) -> CallError {
    let (address, _hears) = server(says).await;
    let request = Request::post("/pay", "amount=1").repeat(Repeat::with_key("k-1"));
    let target = target(address);
    in_time("an answer", target.call(request)).await.unwrap_err()
}

#[tokio::test]
async fn a_request_arrives_with_its_key_and_its_body() {
    let says = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let (address, mut hears) = server(Some(says)).await;
    let request = Request::post("/pay?a=b", "amount=1").repeat(Repeat::with_key("k-1"));
    let answer = target(address).call(request).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    let heard = in_time("a request", hears.recv()).await.unwrap();
    assert!(heard.starts_with("POST /pay?a=b HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("idempotency-key: k-1\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\namount=1"), "{heard}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let says = b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let (address, _hears) = server(Some(says)).await;
    let answer = target(address).call(Request::get("/")).await.unwrap();
    assert_eq!(answer.status.as_u16(), 307);
}

#[tokio::test]
async fn a_long_answer_is_not_read_to_its_end() {
    let says = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n01234567890";
    let error = failure(Some(says)).await;
    assert!(matches!(error.reason, Reason::TooLong { limit: 10 }), "{error}");
    assert_eq!((error.effect, error.attempts), (Effect::Unknown, 1));
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_the_effect_unknown() {
    for says in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n0123"] {
        let error = failure(Some(says)).await;
        assert!(matches!(error.reason, Reason::Lost(_)), "{error}");
        assert_eq!((error.effect, error.attempts), (Effect::Unknown, 2));
    }
}

#[tokio::test]
async fn a_silent_server_costs_its_time_limit_and_leaves_the_effect_unknown() {
    let began = Instant::now();
    let error = failure(None).await;
    assert!(matches!(error.reason, Reason::TimedOut), "{error}");
    assert_eq!((error.effect, error.attempts), (Effect::Unknown, 2));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_that_is_away_took_no_effect_and_its_error_names_no_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let request = Request::post("/secret-path", "").repeat(Repeat::with_key("k"));
    let error = target(address).call(request).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Unreachable(_)), "{error}");
    assert_eq!((error.effect, error.attempts), (Effect::None, 2));
    assert!(!format!("{error:?}").contains("secret-path"), "{error:?}");
}
