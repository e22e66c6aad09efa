//! A port stays reachable when clients hold connections without using them.

use std::io::Write as _;
use std::time::{Duration, Instant};

use local_servers::in_time;
use service_kit::admin;
use service_kit::health::Health;
use service_kit::http::{HEAD_DEADLINE, Limits};
use service_kit::telemetry::Metrics;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::{Served, api, get_of};

#[tokio::test]
async fn whoever_has_sent_no_request_after_five_seconds_is_cut_off_whatever_else_came() {
    let served = Served::start(api().0, Limits::default()).await;
    let started = Instant::now();
    let mut clients = Vec::new();
    for sent in [
        "",
        "G",
        "PRI",
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = served.connect().await;
        client.send(sent).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.closed().await;
    }
    let took = started.elapsed();
    assert!(
        took >= HEAD_DEADLINE.saturating_sub(Duration::from_millis(100))
            && took < 3 * HEAD_DEADLINE,
        "{took:?}"
    );
    served.stop().await;
}

#[tokio::test]
async fn half_of_a_later_request_holds_a_connection_no_longer_than_half_of_the_first() {
    let limits = Limits { head_deadline: Duration::from_secs(1), ..Limits::default() };
    let served = Served::start(api().0, limits).await;
    let mut client = served.connect().await;
    client.send(&get_of("/")).await;
    assert_eq!(client.answer().await.0, 200);
    client.send("GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    client.closed().await;
    served.stop().await;
}

#[tokio::test]
async fn silent_connections_up_to_the_limit_do_not_keep_a_newcomer_out() {
    let limits = Limits {
        connections: 8,
        per_address: 8,
        head_deadline: Duration::from_mins(10),
        ..Limits::default()
    };
    let served = Served::start(api().0, limits).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(served.connect().await);
    }
    assert_eq!(served.ask(&get_of("/")).await.0, 200);
    silent[0].closed().await;
    let mut kept = served.connect().await;
    for _ in 0..2 {
        kept.send(&get_of("/")).await;
        assert_eq!(kept.answer().await.0, 200);
    }
    for _ in 0..7 {
        silent.push(served.connect().await);
    }
    assert_eq!(served.ask(&get_of("/")).await.0, 200);
    served.stop().await;
}

#[tokio::test]
async fn who_made_room_before_its_request_was_read_does_not_go_on_beside_those_who_came() {
    const PLACES: usize = 4;
    const CLIENTS: usize = 60;
    let (router, mut gate) = api();
    let served = Served::start(router, Limits { per_address: PLACES, ..Limits::default() }).await;
    // All clients send their requests before the port reads the first one.
    let request = "GET /held HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let sent = (0..CLIENTS).map(|_| {
        let mut stream = std::net::TcpStream::connect(served.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    });
    let sent: Vec<_> = sent.collect();
    let mut ended: JoinSet<_> = sent.into_iter().map(told).collect();
    gate.reached(PLACES).await;
    for _ in PLACES..CLIENTS {
        let answer =
            in_time("the end of one without a place", ended.join_next()).await.unwrap().unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    gate.let_go.add_permits(PLACES);
    while let Some(answer) = in_time("an answer", ended.join_next()).await {
        assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    }
    served.stop().await;
}

/// Reads everything that a connection receives until it ends.
async fn told(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    // A reset also counts as an end.
    drop(stream.read_to_end(&mut all).await);
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn a_newcomer_is_told_503_at_once_while_every_connection_is_busy() {
    let (router, mut gate) = api();
    let served =
        Served::start(router, Limits { connections: 2, per_address: 2, ..Limits::default() }).await;
    let mut busy = [served.connect().await, served.connect().await];
    for client in &mut busy {
        client.send(&get_of("/held")).await;
    }
    gate.reached(2).await;
    let (status, text) = served.ask(&get_of("/")).await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("retry-after: 1") && text.contains("application/problem+json"), "{text}");
    assert!(text.contains("\"code\":\"too-many-connections\""), "{text}");
    gate.let_go.add_permits(2);
    for client in &mut busy {
        assert_eq!(client.answer().await.0, 200);
    }
    // The clients are still connected but idle now, so one of them makes room.
    assert_eq!(served.ask(&get_of("/")).await.0, 200);
    served.stop().await;
}

#[tokio::test]
async fn one_address_holds_no_more_than_its_share_and_a_trusted_proxys_clients_one_each() {
    let (router, mut gate) = api();
    let served = Served::start(router, Limits { per_address: 1, ..Limits::default() }).await;
    let mut busy = served.connect().await;
    busy.send(&get_of("/held")).await;
    gate.reached(1).await;
    assert_eq!(served.ask(&get_of("/")).await.0, 503);
    gate.let_go.add_permits(1);
    busy.answer().await;
    served.stop().await;

    let (router, mut gate) = api();
    let trusted_proxies = "127.0.0.1".parse().unwrap();
    let served =
        Served::start(router, Limits { per_address: 1, trusted_proxies, ..Limits::default() })
            .await;
    let of = |path: &str, client: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n\r\n")
    };
    let mut busy = served.connect().await;
    busy.send(&of("/held", "192.0.2.1")).await;
    gate.reached(1).await;
    let (status, text) = served.ask(&of("/", "192.0.2.1")).await;
    assert!(status == 503 && text.contains("too-many-of-one-client"), "{text}");
    assert_eq!(
        served.ask(&of("/", "192.0.2.2")).await.0,
        200,
        "over another connection of the same proxy"
    );
    gate.let_go.add_permits(1);
    busy.answer().await;
    assert_eq!(served.ask(&of("/", "192.0.2.1")).await.0, 200);
    served.stop().await;
}

#[tokio::test]
async fn the_admin_port_answers_while_strangers_hold_its_connections() {
    let router = admin::router(Health::new(), Metrics::detached().unwrap());
    let limits = Limits {
        connections: 4,
        per_address: 4,
        head_deadline: Duration::from_mins(10),
        ..Limits::default()
    };
    let served = Served::start(router, limits).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(served.connect().await);
    }
    assert_eq!(served.ask(&get_of("/livez")).await.0, 200);
    assert_eq!(served.ask("GET /livez HTTP/1.1\r\n\r\n").await.0, 400);
    served.stop().await;
}
