//! Imports a real purchase history through commands and reads it back through queries, to the cent,
//! whatever happens to the importer.

use std::path::Path;
use std::time::Duration;

use acceptance::{Purchases, RunningStack, check_figures, until};
use anyhow::{Context, Result};
use local_servers::{in_time, peak_memory_kib, test_run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sample;

const SHORT: u64 = 150;
/// More than the file has: the whole file.
const LONG: u64 = 1_000_000;
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);
const PROGRESS_LIMIT: Duration = Duration::from_mins(1);
const MIB: u64 = 1024;

#[tokio::test]
async fn p9_an_import_adds_up_to_the_file_and_run_again_and_twice_at_once_changes_nothing()
-> Result<()> {
    let (run, stack) = (test_run(), RunningStack::start().await?);
    let purchases = sample()?.of_customers(usize::try_from(run.count(SHORT, LONG))?, run.seed);
    let file = stack.directory().join("purchases.txt");
    purchases.write(&file)?;
    let arguments = ["import", "cdnow", path(&file)?];

    // Two concurrent imports from the start, so that every command meets its duplicate.
    let (one, other) = tokio::join!(stack.run(&arguments), stack.run(&arguments));
    one?;
    other?;
    every_process_is_small(&stack)?;
    let log = stack.log()?;
    let head = log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    check_figures(&stack.client()?, &purchases).await?;

    stack.run(&arguments).await?;
    assert_eq!(log.head().await?, head, "a repeated import appended something");
    log.check_dense().await?;
    log.check_stream().await
}

#[tokio::test]
async fn p9_an_import_that_was_killed_is_run_again_and_nothing_is_there_twice() -> Result<()> {
    let (run, stack) = (test_run(), RunningStack::start().await?);
    let purchases = sample()?.of_customers(usize::try_from(run.count(SHORT, LONG))?, run.seed);
    let file = stack.directory().join("purchases.txt");
    purchases.write(&file)?;
    let log = stack.log()?;

    let mut importer = tokio::process::Command::from(stack.command()?);
    let mut importer =
        importer.args(["import", "cdnow", path(&file)?]).kill_on_drop(true).spawn()?;
    let enough = i64::try_from(purchases.orders())?;
    until("the importer is in the middle of the file", PROGRESS_LIMIT, async || {
        Ok((log.head().await? > enough).then_some(()))
    })
    .await?;
    assert!(importer.try_wait()?.is_none(), "the importer finished before it was killed");
    kill(Pid::from_raw(i32::try_from(importer.id().context("a process id")?)?), Signal::SIGKILL)?;
    assert!(!in_time("the killed importer's end", importer.wait()).await?.success());
    assert!(
        log.count("order.confirmed").await? < enough,
        "the importer was killed after its last command"
    );

    stack.run(&["import", "cdnow", path(&file)?]).await?;
    assert_eq!(log.count("order.confirmed").await?, enough);
    log.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    check_figures(&stack.client()?, &purchases).await
}

#[test]
fn a_slice_of_the_sample_is_the_same_for_the_same_seed() -> Result<()> {
    let sample = sample()?;
    let (one, same, other) =
        (sample.of_customers(20, 7), sample.of_customers(20, 7), sample.of_customers(20, 8));
    assert_eq!(one.customers_by_email(), same.customers_by_email());
    assert_ne!(one.customers_by_email(), other.customers_by_email());
    assert_eq!(one.customers_by_email().len(), 20);
    let shares = one.shares(3);
    assert_eq!(shares.iter().map(Purchases::orders).sum::<usize>(), one.orders());
    assert_eq!(shares.iter().map(|share| share.customers_by_email().len()).sum::<usize>(), 20);
    Ok(())
}

/// Checks the peak memory of each process, which the import makes large.
fn every_process_is_small(stack: &RunningStack) -> Result<()> {
    const LIMIT_MIB: u64 = 150;
    for name in ["command_api", "query_api", "event_relay", "projector", "front"] {
        let peak = peak_memory_kib(stack.pid(name)?)? / MIB;
        eprintln!("{name}: at most {peak} MiB resident");
        assert!(peak < LIMIT_MIB, "{name} was {peak} MiB large");
    }
    Ok(())
}

fn path(file: &Path) -> Result<&str> {
    file.to_str().context("a path that is text")
}
