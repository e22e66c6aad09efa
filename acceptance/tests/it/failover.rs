//! The event store's server is lost and replaced (A5): by a complete standby, by a standby that
//! misses commits, or by a restored backup. Each process continues by itself, or names the command
//! that makes it continue without a restart. A command API that was restarted meanwhile does so
//! too.

use std::time::Duration;

use acceptance::{Answer, Client, Launched, Log, Service, Traffic, until};
use anyhow::{Context, Result, ensure};
use event_store::encryption::SubjectKeyStore as _;
use event_store::postgres::PostgresKeys;
use local_servers::{PostgresBinaries, PostgresCluster, finish};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection, PgConnection};

/// How long the system may take to continue.
const LIMIT: Duration = Duration::from_mins(1);
const CLIENTS: usize = 4;
/// The number of commands answered before the fault, and again after it.
const ANSWERED: u64 = 25;
const BEGIN: &str = "`event-store epoch begin`";

#[tokio::test]
async fn p4_p8_a_complete_standby_takes_over_without_anybodys_help() -> Result<()> {
    let mut system = Launched::start().await?;
    let (client, log) = (system.client()?, system.log()?);
    let mut standby = system.event_store.standby().await?;
    system.event_store.wait_for_standbys().await;
    let first = register(&client, "first").await?;
    shown(&client, &first).await?;
    let (stream, epoch) = (log.stream_created().await?, log.epoch().await?);

    let traffic = Traffic::start(&client, CLIENTS);
    goes_on(&traffic).await?;
    ensure!(traffic.unanswered() > 0, "no command is under way");
    system.event_store.kill().await;
    standby.take_over(&system.event_store).await;
    system.event_store = standby;
    goes_on(&traffic).await?;
    let acknowledged = traffic.stop().await?;

    all_ready(&mut system).await?;
    log.wait_until_caught_up(LIMIT).await?;
    log.check_acknowledged(&acknowledged).await?;
    log.check_dense().await?;
    log.check_stream().await?;
    assert_eq!(
        (log.stream_created().await?, log.epoch().await?),
        (stream, epoch),
        "it is the same history"
    );
    // The earlier answers still hold.
    shown(&client, &first).await
}

#[tokio::test]
async fn p5_i9_a_standby_that_misses_commits_goes_on_once_a_person_has_begun_a_new_epoch()
-> Result<()> {
    let mut system = Launched::start().await?;
    let (client, log) = (system.client()?, system.log()?);
    let kept = register(&client, "kept").await?;
    let mut standby = system.event_store.standby().await?;
    system.event_store.wait_until_followed_by(&standby).await;
    standby.cut_off().await;
    let lost = register(&client, "lost").await?;
    shown(&client, &lost).await?;
    log.wait_until_caught_up(LIMIT).await?;
    let (stream, epoch) = (log.stream_created().await?, log.epoch().await?);
    system.event_store.kill().await;
    standby.take_over(&system.event_store).await;
    system.event_store = standby;

    waits_for_a_person(&mut system, &client, &log, &stream).await?;
    shown(&client, &lost).await.context("queries are answered from what was projected")?;
    system
        .event_store_command(&["epoch", "begin", "--yes", "--reason", "the primary is lost"])
        .await?;
    goes_on_in_a_new_epoch(&mut system, &client, &log, (&stream, epoch)).await?;

    let path = format!("/api/v1/users/{}", lost.id()?);
    refused_as_of_another_history(&client, &path, &lost).await?;
    client.get(&path).await?.expect(StatusCode::NOT_FOUND)?;
    client.get(&format!("/api/v1/users/{}", kept.id()?)).await?.expect(StatusCode::OK)?;
    shown(&client, &register(&client, "lost").await?).await
}

#[tokio::test]
async fn p5_i9_a_restored_backup_goes_on_in_a_new_epoch_and_who_was_erased_since_stays_erased()
-> Result<()> {
    let mut system = Launched::start().await?;
    let (client, log) = (system.client()?, system.log()?);
    let erased = register(&client, "erased").await?;
    shown(&client, &erased).await?;
    let backup = dump(&system.event_store)?;
    let dumped = log.head().await?;
    system.operate(&["erase-subject", erased.id()?, "--by", "ops-1"]).await?;
    let lost = register(&client, "lost").await?;
    shown(&client, &lost).await?;
    log.wait_until_caught_up(LIMIT).await?;
    let (stream, epoch) = (log.stream_created().await?, log.epoch().await?);
    known_to_the_keys(&system, log.head().await?).await?;
    system.stop(Service::CommandApi).await?;
    restore(&system.event_store, backup.path()).await?;
    // A new process has never seen the lost commits.
    system.launch(Service::CommandApi)?;

    waits_for_a_person(&mut system, &client, &log, &stream).await?;
    // Commands wait, but the first event of the new epoch is still that of the erasure.
    let traffic = Traffic::start(&client, CLIENTS);
    system.event_store_command(&["epoch", "begin", "--yes"]).await?;
    goes_on(&traffic).await?;
    traffic.stop().await?;
    assert_eq!(log.type_at(dumped + 1).await?, "subject.erased");
    goes_on_in_a_new_epoch(&mut system, &client, &log, (&stream, epoch)).await?;

    refused_as_of_another_history(&client, &format!("/api/v1/users/{}", lost.id()?), &lost).await?;
    let user =
        client.get(&format!("/api/v1/users/{}", erased.id()?)).await?.expect(StatusCode::OK)?;
    ensure!(user.data()["name"].is_null() && user.data()["email"].is_null(), "{}", user.body);
    Ok(())
}

/// Waits until the key database records this head, for a command API that starts later.
async fn known_to_the_keys(system: &Launched, head: i64) -> Result<()> {
    let keys = PostgresKeys::connect(&system.subject_keys(), "acceptance").await?;
    until("the head is noted", LIMIT, async || {
        let known = keys.known_head().await?;
        Ok(known.is_some_and(|known| known.mark.position.0 >= head).then_some(()))
    })
    .await
}

/// Every process that knows of the lost commits is not ready, refuses work, leaves its data alone,
/// and names the command.
async fn waits_for_a_person(
    system: &mut Launched,
    client: &Client,
    log: &Log,
    stream: &str,
) -> Result<()> {
    for service in [Service::CommandApi, Service::EventRelay, Service::Projector] {
        system.wait_until_it_says(service, &[BEGIN]).await?;
    }
    let refused =
        client.post("/api/v1/users", &json!({"email": "refused@example.com", "name": "R"})).await?;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{}", refused.body);
    assert_eq!(log.stream_created().await?, stream, "the stream is the evidence of what was lost");
    Ok(())
}

/// Commands are accepted again without intervention, the stream is recreated, and projections
/// continue after the command that they name.
async fn goes_on_in_a_new_epoch(
    system: &mut Launched,
    client: &Client,
    log: &Log,
    (stream, epoch): (&str, uuid::Uuid),
) -> Result<()> {
    for service in [Service::CommandApi, Service::EventRelay] {
        system.wait_until_ready(service).await?;
    }
    ensure!(
        log.epoch().await? != epoch && log.stream_created().await? != stream,
        "it is the old history"
    );
    let projections = log.projections().await?;
    let commands = projections.iter().map(|name| format!("`projector start-over {name}`"));
    let commands: Vec<String> = commands.collect();
    let words: Vec<&str> = commands.iter().map(String::as_str).collect();
    system.wait_until_it_says(Service::Projector, &words).await?;
    system.start_over(&projections).await?;
    all_ready(system).await?;
    log.wait_until_caught_up(LIMIT).await?;
    log.check_dense().await?;
    log.check_stream().await?;
    system.event_store_command(&["verify"]).await?;
    shown(client, &register(client, "after").await?).await
}

async fn all_ready(system: &mut Launched) -> Result<()> {
    for service in Service::ALL {
        ensure!(system.runs(service), "{service:?} ended");
        system.wait_until_ready(service).await?;
    }
    Ok(())
}

async fn register(client: &Client, name: &str) -> Result<Answer> {
    let body = json!({"email": format!("{name}@example.com"), "name": name});
    client.post("/api/v1/users", &body).await?.expect(StatusCode::CREATED)
}

async fn shown(client: &Client, made: &Answer) -> Result<()> {
    let path = format!("/api/v1/users/{}", made.id()?);
    until(&format!("{path} is shown"), LIMIT, async || {
        let shown = client.get_after(&path, made).await?.expect(StatusCode::OK)?;
        Ok(Some(shown))
    })
    .await
    .map(drop)
}

async fn refused_as_of_another_history(client: &Client, path: &str, made: &Answer) -> Result<()> {
    let answer = client.get_after(path, made).await?.expect(StatusCode::CONFLICT)?;
    assert_eq!(answer.code(), Some("consistency-token-other-epoch"), "{}", answer.body);
    Ok(())
}

/// Waits until more commands are answered.
async fn goes_on(traffic: &Traffic) -> Result<()> {
    let before = traffic.answered();
    until("commands are answered", LIMIT, async || {
        Ok((traffic.answered() > before + ANSWERED).then_some(()))
    })
    .await
}

/// A backup of the log's database. The keys have a separate one.
fn dump(cluster: &PostgresCluster) -> Result<tempfile::NamedTempFile> {
    let file = tempfile::NamedTempFile::new()?;
    let mut command = PostgresBinaries::of_test_run()?.command("pg_dump");
    let ended = finish(
        command.args(["--format=custom", "--file"]).arg(file.path()).arg(cluster.url()),
        LIMIT,
    )?;
    ensure!(ended.status.success(), "pg_dump: {ended:?}");
    Ok(file)
}

/// Restores the backup in place of the log's database.
async fn restore(cluster: &PostgresCluster, backup: &std::path::Path) -> Result<()> {
    let server = cluster.url();
    let server = server.strip_suffix("/postgres").context("the cluster's first database")?;
    let url = |database: &str| format!("{server}/{database}");
    let mut admin = PgConnection::connect(&url("template1")).await?;
    sqlx::raw_sql("CREATE DATABASE restored").execute(&mut admin).await?;
    let mut command = PostgresBinaries::of_test_run()?.command("pg_restore");
    let ended =
        finish(command.args(["--exit-on-error", "--dbname", &url("restored")]).arg(backup), LIMIT)?;
    ensure!(ended.status.success(), "pg_restore: {ended:?}");
    for statement in [
        "ALTER DATABASE postgres WITH ALLOW_CONNECTIONS false",
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'postgres'",
        "ALTER DATABASE postgres RENAME TO lost",
        "ALTER DATABASE restored RENAME TO postgres",
    ] {
        sqlx::raw_sql(statement).execute(&mut admin).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}
