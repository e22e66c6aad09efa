//! What a client makes of the answers of whatever listens at its address.
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
    let admin = Admin::at(SERVER, &format!("http://{}", listener.local_addr().unwrap())).unwrap();
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
    let found = admin.cancel::<Value>(ID.parse().unwrap(), "op-7").await;
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
    let done = admin.carry_out::<Value>(&json!({}), |_| {}).await.unwrap();
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
