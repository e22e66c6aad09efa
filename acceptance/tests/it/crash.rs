//! An import continues while each part of the system is killed in turn, and its result is the same
//! without intervention (P1–P6, P9).
//!
//! For each fault, a share of the customers is imported while other clients work. The fault happens
//! while their commands are unanswered and positions move. The test asserts both, and that the
//! fault really happened: there is another process id, or another stream.

use std::path::Path;
use std::time::Duration;

use acceptance::{Acknowledged, Log, Purchases, RunningStack, Traffic, check_figures, until};
use anyhow::{Context, Result, ensure};
use local_servers::test_run;
use nix::sys::signal::Signal;

use crate::sample;

const SHORT: u64 = 160;
/// More than the file has: the whole file.
const LONG: u64 = 1_000_000;
/// How long NATS stays away.
const SHORT_OUTAGE: Duration = Duration::from_secs(4);
const LONG_OUTAGE: Duration = Duration::from_secs(20);
/// The number of clients that work at the same time as the importer.
const CLIENTS: usize = 2;
/// How far positions must have moved before and after a fault.
const MOVED: i64 = 20;
const MOVE_LIMIT: Duration = Duration::from_mins(1);
const IMPORT_LIMIT: Duration = Duration::from_mins(5);
/// How long the system may take to recover from the last fault.
const HEAL_LIMIT: Duration = Duration::from_mins(1);

/// The faults.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Kill a process or server with SIGKILL.
    Killed(&'static str),
    /// Stop Postgres cleanly; the stack restarts it.
    PostgresRestarted,
    /// Stop NATS for a while.
    NatsStopped(Duration),
    /// Restart NATS without its stored data.
    NatsDeleted,
}

#[tokio::test]
async fn p1_p4_p5_p6_p9_an_import_comes_out_right_though_every_part_of_the_system_dies_once()
-> Result<()> {
    let run = test_run();
    let purchases = sample()?.of_customers(usize::try_from(run.count(SHORT, LONG))?, run.seed);
    let faults = [
        Fault::Killed("command_api"),
        Fault::Killed("event_relay"),
        Fault::Killed("projector"),
        Fault::Killed("query_api"),
        Fault::Killed("nats"),
        Fault::NatsStopped(if run.long { LONG_OUTAGE } else { SHORT_OUTAGE }),
        Fault::NatsDeleted,
        Fault::PostgresRestarted,
        Fault::Killed("postgres"),
    ];
    let stack = RunningStack::start().await?;
    let mut acknowledged = Vec::new();
    for (fault, share) in faults.into_iter().zip(purchases.shares(faults.len())) {
        let file = stack.directory().join("share.txt");
        share.write(&file)?;
        acknowledged.extend(
            strike(&stack, fault, &file)
                .await
                .with_context(|| format!("{fault:?}\n{}", stack.logs()))?,
        );
    }

    let log = stack.log()?;
    log.wait_until_caught_up(HEAL_LIMIT).await?;
    log.check_acknowledged(&acknowledged).await?;
    log.check_dense().await?;
    log.check_stream().await?;
    check_figures(&stack.client()?, &purchases).await?;
    nothing_is_left_to_import(&stack, &log, &purchases).await
}

/// Imports a share of the customers during a fault, until the importer has compared the result.
/// Returns what the other clients' commands were answered.
async fn strike(stack: &RunningStack, fault: Fault, file: &Path) -> Result<Vec<Acknowledged>> {
    let log = stack.log()?;
    let traffic = Traffic::start(&stack.client()?, CLIENTS);
    let start = log.head().await?;
    let mut importer = tokio::process::Command::from(stack.command()?);
    let mut importer = importer.args(["import", "cdnow"]).arg(file).kill_on_drop(true).spawn()?;
    until("commands are unanswered and positions move", MOVE_LIMIT, async || {
        let moved = log.head().await? > start + MOVED && traffic.answered() > 0;
        Ok((moved && traffic.unanswered() > 0).then_some(()))
    })
    .await?;
    ensure!(importer.try_wait()?.is_none(), "the importer was done before the fault struck");

    match fault {
        Fault::Killed(name) => restarted(stack, &traffic, name, Signal::SIGKILL).await?,
        Fault::PostgresRestarted => restarted(stack, &traffic, "postgres", Signal::SIGINT).await?,
        Fault::NatsStopped(outage) => nats_is_away(stack, &log, &traffic, outage).await?,
        Fault::NatsDeleted => nats_loses_everything(stack, &log, &traffic).await?,
    }
    let struck = log.head().await?;
    until("positions move again", MOVE_LIMIT, async || {
        Ok((log.head().await? > struck).then_some(()))
    })
    .await?;

    let imported = tokio::time::timeout(IMPORT_LIMIT, importer.wait())
        .await
        .context("the importer did not end")??;
    ensure!(imported.success(), "the importer: {imported}");
    stack.wait_until_ready().await?;
    traffic.stop().await
}

/// Ends a process or server, and waits until the stack has restarted it with another process id.
async fn restarted(
    stack: &RunningStack,
    traffic: &Traffic,
    name: &str,
    signal: Signal,
) -> Result<()> {
    let repeated = traffic.repeated();
    ensure!(traffic.unanswered() > 0, "no command was unanswered");
    let before = stack.signal(name, signal)?;
    let after = stack.wait_for_another(name, before).await?;
    ensure!(after != before);
    if name == "command_api" {
        // The unanswered commands were interrupted, so the clients had to repeat them. (During a
        // short absence of Postgres, the command API may hold the commands and resend its batch,
        // and no client notices.)
        until("a command was repeated", MOVE_LIMIT, async || {
            Ok((traffic.repeated() > repeated).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Commands are accepted throughout (P8).
async fn nats_is_away(
    stack: &RunningStack,
    log: &Log,
    traffic: &Traffic,
    outage: Duration,
) -> Result<()> {
    let before = stack.pid("nats")?;
    stack.run(&["stop", "nats"]).await?;
    let (since, answered, head) =
        (tokio::time::Instant::now(), traffic.answered(), log.head().await?);
    ensure!(stack.pid("nats").is_err(), "NATS runs");
    tokio::time::sleep_until(since + outage).await;
    ensure!(
        traffic.answered() > answered && log.head().await? > head,
        "no command was taken while NATS was away"
    );
    ensure!(stack.pid("nats").is_err(), "NATS came back early");
    stack.run(&["start", "nats"]).await?;
    ensure!(stack.pid("nats")? != before);
    Ok(())
}

async fn nats_loses_everything(stack: &RunningStack, log: &Log, traffic: &Traffic) -> Result<()> {
    let created = log.stream_created().await?;
    ensure!(traffic.unanswered() > 0, "no command was unanswered");
    stack.run(&["stop", "nats"]).await?;
    let store = stack.directory().join("nats/store");
    ensure!(
        store.join("jetstream").is_dir(),
        "{} is not where NATS keeps its data",
        store.display()
    );
    std::fs::remove_dir_all(&store)?;
    stack.run(&["start", "nats"]).await?;
    let again = until("the stream was made again", HEAL_LIMIT, async || {
        log.stream_created().await.map(Some)
    })
    .await?;
    ensure!(again != created, "the stream is the one of {created}");
    Ok(())
}

/// Runs the whole import again. Every command was already done, and the comparison with the queries
/// succeeds.
async fn nothing_is_left_to_import(
    stack: &RunningStack,
    log: &Log,
    purchases: &Purchases,
) -> Result<()> {
    let file = stack.directory().join("all.txt");
    purchases.write(&file)?;
    let head = log.head().await?;
    stack.run(&["import", "cdnow", file.to_str().context("a path that is text")?]).await?;
    ensure!(log.head().await? == head, "a repeated import appended something");
    Ok(())
}
