//! Private servers keep their data across stops and kills, can be frozen, and end with the process
//! that started them.

use local_servers::{ClusterOptions, NatsOptions, NatsServer, PostgresCluster, in_time};
use sqlx::{Connection, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test]
async fn a_cluster_keeps_its_rows_over_a_stop_and_a_kill() {
    let mut cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
    sqlx::query("CREATE TABLE kept AS SELECT 1 AS n").execute(&mut connection).await.unwrap();
    let checksums: String =
        sqlx::query_scalar("SHOW data_checksums").fetch_one(&mut connection).await.unwrap();
    assert_eq!(checksums, "on");
    cluster.stop().await;
    cluster.start_again().await;
    cluster.kill().await;
    cluster.start_again().await;
    let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
    let kept: i32 =
        sqlx::query_scalar("SELECT n FROM kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn a_frozen_cluster_answers_again_once_it_goes_on() {
    let cluster = PostgresCluster::start(ClusterOptions::default()).await.unwrap();
    let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
    cluster.pause();
    let mut question = tokio::spawn(async move {
        sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut connection).await
    });
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), &mut question).await;
    assert!(early.is_err(), "a frozen cluster answered");
    cluster.resume();
    assert_eq!(in_time("the answer", question).await.unwrap().unwrap(), 1);
}

/// The greeting that a nats-server sends to each new connection.
async fn greeting(url: &str) -> String {
    let address = url.trim_start_matches("nats://");
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut line = String::new();
    in_time("the greeting", BufReader::new(stream).read_line(&mut line)).await.unwrap();
    line
}

#[tokio::test]
async fn nats_comes_back_on_its_port_after_a_stop_a_kill_and_a_wipe() {
    let options = NatsOptions { max_payload: Some(70_000), ..NatsOptions::default() };
    let mut nats = NatsServer::start(options).await.unwrap();
    let url = nats.url();
    nats.stop().await;
    nats.start_again().await;
    nats.kill().await;
    nats.wipe_store().await;
    nats.start_again().await;
    assert_eq!(nats.url(), url);
    let hello = greeting(&url).await;
    assert!(
        hello.contains("\"max_payload\":70000") && hello.contains("\"jetstream\":true"),
        "{hello}"
    );
}
