//! The accept loop on a real socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use service_kit::http::serve;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

async fn start(router: Router) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, drain) = (listener.local_addr().unwrap(), CancellationToken::new());
    (address, drain.clone(), tokio::spawn(serve(listener, router, drain)))
}

#[tokio::test]
async fn a_drain_lets_the_request_in_flight_finish_and_takes_no_new_one() {
    let (arrived, in_flight) = oneshot::channel::<()>();
    let (let_go, held) = oneshot::channel::<()>();
    let once = std::sync::Mutex::new(Some((arrived, held)));
    let once = std::sync::Arc::new(once);
    let handler = move || {
        let (arrived, held) = once.lock().unwrap().take().unwrap();
        async move {
            arrived.send(()).unwrap();
            held.await.unwrap();
            "finished"
        }
    };
    let (address, drain, server) = start(Router::new().route("/", get(handler))).await;
    let asking = tokio::spawn(async move { reqwest::get(format!("http://{address}/")).await.unwrap().text().await.unwrap() });
    in_flight.await.unwrap();
    drain.cancel();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let_go.send(()).unwrap();
    assert_eq!(asking.await.unwrap(), "finished");
    server.await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut_off() {
    let (address, drain, server) = start(Router::new().route("/", get(async || "hello"))).await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    drain.cancel();
    server.await.unwrap();
}

#[tokio::test]
async fn a_head_with_too_many_headers_is_refused() {
    let (address, drain, server) = start(Router::new().route("/", get(async || "hello"))).await;
    let mut request = reqwest::Client::new().get(format!("http://{address}/"));
    for number in 0..100 {
        request = request.header(format!("x-header-{number}"), "x");
    }
    assert_eq!(request.send().await.unwrap().status(), 431);
    drain.cancel();
    server.await.unwrap();
}
