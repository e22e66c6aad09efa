//! How a client reads the answers of any server at its address.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SERVER: Server = Server { noun: "clerk", program: "clerks" };
const ID: &str = "019a0000-0000-7000-8000-000000000001";

/// Listens, and lets `answer` write to each connection; it receives the connection's number.
async fn listening<F: Future<Output = ()> + Send>(
    answer: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> (Admin, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let admin = Admin::at(SERVER, &address, Token::Absent).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            // The whole request, which is small, comes at once.
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            answer(call, stream).await;
        }
    });
    (admin, calls)
}

fn record(state: &str, finished: &str) -> String {
    let answer = format!(
        r#"{{"data":{{"id":"{ID}","state":"{state}","result":null,"error":null,
            "cancelled_by":null,"finished_at":{finished}}}}}"#
    );
    let length = answer.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}")
}

async fn says(mut stream: TcpStream, text: impl AsRef<[u8]>) {
    let _ = stream.write_all(text.as_ref()).await;
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_given_up() {
    for status in ["200 OK", "409 Conflict"] {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        let (admin, _) = listening(move |_, mut stream| {
            let head = head.clone();
            async move {
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    sent = stream.write_all(chunk.as_bytes()).await;
                }
            }
        })
        .await;
        let found = admin.list::<Value>(1).await;
        assert!(matches!(found, Err(RemoteError::TooLong(..))), "{found:?}");
    }
}

#[tokio::test]
async fn a_request_is_not_sent_on_to_another_address() {
    let (other, calls) = listening(|_, stream| says(stream, record("queued", "null"))).await;
    let place = other.base.clone();
    let (admin, _) = listening(move |_, stream| {
        let answer =
            format!("HTTP/1.1 307 Elsewhere\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
        says(stream, answer)
    })
    .await;
    let found = admin.cancel::<Value>(ID.parse().unwrap(), Some("op-7")).await;
    assert!(matches!(found, Err(RemoteError::Malformed(..))), "{found:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_asked_for_again() {
    let (admin, calls) = listening(|call, stream| {
        let answer = match call {
            0 => record("queued", "null"),
            1 => record("running", "null").split_at(120).0.to_owned(),
            _ => record("succeeded", "\"2026-01-01T00:00:00Z\""),
        };
        says(stream, answer)
    })
    .await;
    let done = admin.carry_out::<Value>(json!({}), None, |_| {}).await.unwrap();
    assert_eq!(done.record["state"], "succeeded");
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_answer_that_is_no_json_or_of_another_form_is_named() {
    for body in ["", "<html>", "{}", r#"{"data": 7}"#, r#"{"data": {"id": "x"}}"#] {
        for status in ["200 OK", "404 Not Found"] {
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
            let (admin, _) = listening(move |_, stream| says(stream, answer.clone())).await;
            let found = admin.find::<Value>(ID.parse().unwrap()).await;
            assert!(matches!(found, Err(RemoteError::Malformed(..))), "{status} {body}: {found:?}");
        }
    }
}

/// Answers a request with its own head and body, as the title of a problem with this status.
async fn echoing(status: &'static str, token: Token) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let admin = Admin::at(SERVER, &address, token).unwrap();
    let answered = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // The head and the body may come one after the other.
        while !request.ends_with(b"}") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the request ends without a body");
            request.extend_from_slice(&part[..read]);
        }
        let title = String::from_utf8(request).unwrap();
        let body = json!({"title": title}).to_string();
        let length = body.len();
        says(stream, format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}")).await;
    };
    let cancel = admin.cancel::<Value>(ID.parse().unwrap(), Some("op-7"));
    let ((), refused) = tokio::join!(answered, cancel);
    refused.unwrap_err().to_string()
}

#[tokio::test]
async fn a_token_is_sent_and_then_the_request_names_nobody_itself() {
    let said = echoing("409 Conflict", Token::Absent).await;
    assert!(said.contains(r#"{"by":"op-7"}"#) && !said.contains("authorization"), "{said}");
    let said = echoing("409 Conflict", Token::Text("a.b.c".into())).await;
    assert!(said.contains("authorization: Bearer a.b.c") && !said.contains("op-7"), "{said}");
}

#[tokio::test]
async fn a_refusal_for_want_of_a_token_says_what_to_do() {
    let some = || Token::Text("a.b.c".into());
    for (status, token, hint) in [
        ("401 Unauthorized", Token::Absent, ANY_TOKEN),
        ("401 Unauthorized", some(), NEW_TOKEN),
        ("403 Forbidden", some(), OTHER_TOKEN),
    ] {
        let said = echoing(status, token).await;
        assert!(said.ends_with(hint), "{said}");
    }
}

#[tokio::test]
async fn a_token_leaves_the_machine_under_tls_only() {
    let elsewhere = Admin::at(SERVER, "http://192.0.2.1:9083", Token::Text("a.b.c".into()));
    assert!(matches!(elsewhere, Err(RemoteError::Exposed(_))), "{elsewhere:?}");
    assert!(Admin::at(SERVER, "http://192.0.2.1:9083", Token::Absent).is_ok());
}
