//! Raw requests with invalid heads or framing, and who answers them: our layers or hyper.

use service_kit::http::{Limits, MAX_HEAD_BYTES, MAX_TARGET_BYTES};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Served, api};

async fn served() -> Served {
    Served::start(api().0, Limits::default()).await
}

#[tokio::test]
async fn what_no_route_should_see_is_refused_with_a_problem() {
    let served = served().await;
    let fields = |count: usize| {
        (0..count).fold(String::new(), |text, number| text + &format!("x-{number}: y\r\n"))
    };
    let long = "x".repeat(MAX_HEAD_BYTES);
    let target = "x".repeat(MAX_TARGET_BYTES);
    for (head, status, code) in [
        ("GET / HTTP/1.1\r\n".to_owned(), 400, "host-invalid"),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n".to_owned(), 400, "host-invalid"),
        ("GET / HTTP/1.1\r\nhost: a b\r\n".to_owned(), 400, "host-invalid"),
        ("GET / HTTP/1.1\r\nhost: user@a\r\n".to_owned(), 400, "host-invalid"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}", fields(80)), 431, "headers-too-large"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {long}\r\n"), 431, "headers-too-large"),
        (format!("GET /{target} HTTP/1.1\r\nhost: a\r\n"), 414, "uri-too-long"),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n".to_owned(),
            501,
            "transfer-coding-unsupported",
        ),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-encoding: \
                gzip\r\n"
                .to_owned(),
            415,
            "content-coding-unsupported",
        ),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-encoding: identity, \
                br\r\n"
                .to_owned(),
            415,
            "content-coding-unsupported",
        ),
    ] {
        let (found, text) = served.ask(&format!("{head}\r\n")).await;
        assert_eq!(found, status, "{head}: {text}");
        assert!(
            text.contains("application/problem+json")
                && text.contains(&format!("\"code\":\"{code}\"")),
            "{text}"
        );
        assert_eq!(text.contains("accept-encoding: identity"), status == 415, "{text}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_is_in_order_is_served() {
    let served = served().await;
    for head in [
        "GET / HTTP/1.1\r\nhost: example.com:8080\r\n",
        "GET / HTTP/1.1\r\nhost: [::1]:80\r\n",
        "GET / HTTP/1.0\r\n",
        "GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-encoding: identity\r\n",
    ] {
        assert_eq!(served.ask(&format!("{head}\r\n")).await.0, 200, "{head}");
    }
    served.stop().await;
}

#[tokio::test]
async fn what_the_library_cannot_parse_is_refused_by_it() {
    let served = served().await;
    let many = (0..150).fold(String::new(), |text, number| text + &format!("x-{number}: y\r\n"));
    for (head, status) in [
        ("GET / HTTP/1.1\r\nno colon\r\n".to_owned(), 400),
        ("POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n".to_owned(), 400),
        (
            "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n"
                .to_owned(),
            400,
        ),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{many}"), 431),
    ] {
        assert_eq!(served.ask(&format!("{head}\r\n")).await.0, status, "{head}");
    }
    served.stop().await;
}

#[tokio::test]
async fn chunks_that_are_none_are_a_bad_request_and_not_a_timeout() {
    let served = served().await;
    let head = "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["xyz\r\n", "5\r\nhello!!\r\n", "ffffffffffffffffff\r\n", "5;\n"] {
        let (status, text) = served.ask(&format!("{head}{body}")).await;
        assert!(status == 400 && text.contains("\"code\":\"malformed-body\""), "{body:?}: {text}");
    }
    let (status, text) = served.ask(&format!("{head}5\r\nhello\r\n0\r\n\r\n")).await;
    assert!(status == 200 && text.ends_with("\r\n\r\n5"), "{text}");
    served.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_after_sending_gets_its_answer() {
    let (router, mut gate) = api();
    let served = Served::start(router, Limits::default()).await;
    let mut client = served.connect().await;
    client.send("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    gate.reached(1).await;
    gate.let_go.add_permits(1);
    assert_eq!(client.answer().await.0, 200);
    let mut client = served.connect().await;
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    client.0.shutdown().await.unwrap();
    let (status, text) = client.answer().await;
    assert!(status == 400 && text.contains("\"code\":\"malformed-body\""), "{text}");
    served.stop().await;
}
