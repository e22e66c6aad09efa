//! The drain: requests in flight get their answers, and a busy port still notices the drain.

use local_servers::{http_get, in_time};
use service_kit::config::LoopbackAddr;
use service_kit::http::{Limits, Port, Ports};
use service_kit::process::{Process, ProcessError};
use service_kit::shutdown::Shutdown;
use service_kit::telemetry::Metrics;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Served, api, get_of};

#[tokio::test]
async fn a_drain_lets_the_request_in_flight_finish_and_takes_no_new_one() {
    let (router, mut gate) = api();
    let served = Served::start(router, Limits::default()).await;
    let mut client = served.connect().await;
    client.send(&get_of("/held")).await;
    gate.reached(1).await;
    served.drain.cancel();
    in_time("the port's end", async { while TcpStream::connect(served.address).await.is_ok() {} })
        .await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(
        !served.task.is_finished(),
        "the port refuses new requests and waits for the one in flight"
    );
    gate.let_go.add_permits(1);
    assert_eq!(client.answer().await.0, 200);
    in_time("the server's end", served.task).await.unwrap();
}

#[tokio::test]
async fn a_drain_is_noticed_with_exactly_as_many_connections_as_the_limit_and_cuts_nobody_off() {
    let (router, mut gate) = api();
    let served =
        Served::start(router, Limits { connections: 4, per_address: 4, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = served.connect().await;
        client.send(&get_of("/held")).await;
        clients.push(client);
    }
    gate.reached(4).await;
    served.drain.cancel();
    in_time("the port's end", async { while TcpStream::connect(served.address).await.is_ok() {} })
        .await;
    gate.let_go.add_permits(4);
    for client in &mut clients {
        let (status, text) = client.answer().await;
        assert!(status == 200 && text.contains("connection: close"), "{text}");
        client.closed().await;
    }
    in_time("the server's end", served.task).await.unwrap();
}

#[tokio::test]
async fn during_the_drain_readiness_is_red_the_process_waits_and_new_requests_are_refused() {
    let free = async || -> LoopbackAddr {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        LoopbackAddr::new(address).unwrap()
    };
    let (address, admin_address) = (free().await, free().await);
    let (router, mut gate) = api();
    let shutdown = Shutdown::manual();
    let process = Process::with(Metrics::detached().unwrap(), shutdown.clone());
    let public = vec![Port::public(address, router, Limits::default())];
    let ports = Ports { public, admin: process.admin(admin_address) };
    let serving = tokio::spawn(async move {
        let served = process.served();
        let work = async {
            served.cancelled().await;
            Ok::<(), ProcessError>(())
        };
        process.run(ports, work).await
    });
    let readyz = async || {
        http_get(format!("http://{admin_address}/readyz")).await.unwrap().status().as_u16()
    };
    in_time("the admin port", async {
        while TcpStream::connect(admin_address.get()).await.is_err() {}
    })
    .await;
    assert_eq!(readyz().await, 200);
    let asking = tokio::spawn(async move {
        http_get(format!("http://{address}/held")).await.unwrap().status().as_u16()
    });
    gate.reached(1).await;
    shutdown.drain().cancel();
    in_time("the port's end", async { while TcpStream::connect(address.get()).await.is_ok() {} })
        .await;
    assert_eq!(readyz().await, 503, "the port is closed, so readiness was red before");
    assert!(!serving.is_finished(), "it waits for the request in flight");
    gate.let_go.add_permits(1);
    assert_eq!(in_time("the answer", asking).await.unwrap(), 200);
    in_time("the server's end", serving).await.unwrap().unwrap();
    assert!(
        TcpStream::connect(admin_address.get()).await.is_err(),
        "the admin port is the last to close"
    );
}
