//! `test`: the whole suite on servers of its own, which are gone afterwards. Nothing is shared with a running stack.

use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;
use local_servers::{ClusterOptions, Launch, PostgresCluster, Process};
use nix::sys::signal::Signal;
use rand::Rng;
use tokio::signal::unix::{SignalKind, signal};

use crate::build;
use crate::choose;
use crate::cli::TestArgs;
use crate::layout::Layout;
use crate::tree::cargo;

/// The exit code of a program that a Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// How long a test runner may take to end its tests.
const STOP_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Runs the suite.
pub async fn run(layout: &Layout, args: &TestArgs) -> anyhow::Result<ExitCode> {
    let servers = choose::for_tests(layout, args.bundled)?;
    eprintln!("stack: testing on {} and {}", servers.postgres.bin().display(), servers.nats.display());
    let programs = build::all(layout, "dev")?;
    let cluster = cluster(layout, &servers.postgres).await?;
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000_000));
    let environment = |command: &mut Command| {
        command.env("DAYBOOK_TEST_POSTGRES_URL", cluster.url());
        command.env("DAYBOOK_TEST_PG_BIN", servers.postgres.bin());
        command.env("DAYBOOK_TEST_NATS_SERVER", &servers.nats);
        command.env("DAYBOOK_TEST_PROGRAMS", &programs.folder);
        command.env("DAYBOOK_TEST_SEED", seed.to_string());
        command.env("DAYBOOK_TEST_COUNT", if args.long { "long" } else { "short" });
    };
    let repeat = format!("cargo stack test --seed {seed}{}", if args.long { " --long" } else { "" });
    eprintln!("stack: seed {seed}; to repeat: {repeat}");
    let nextest = has_nextest(layout);
    let mut steps = Vec::new();
    let mut suite = cargo(layout);
    if nextest {
        suite.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
        if std::env::var_os("CI").is_some() {
            suite.args(["--status-level", "fail", "--final-status-level", "slow"]);
        }
        suite.args(&args.args);
    } else {
        suite.args(["test", "--locked", "--workspace", "--all-targets", "--no-fail-fast"]).args(&args.args);
    }
    steps.push(suite);
    // A filter is for the suite; documentation's examples are run with the whole of it.
    if args.args.is_empty() {
        let mut documentation = cargo(layout);
        documentation.args(["test", "--locked", "--workspace", "--doc", "--quiet"]);
        steps.push(documentation);
    }
    let mut code = ExitCode::SUCCESS;
    for mut step in steps {
        environment(&mut step);
        match run_step(&step).await? {
            Some(true) => {}
            Some(false) => code = ExitCode::FAILURE,
            None => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    let passed = code == ExitCode::SUCCESS;
    eprintln!("stack: the tests {}; seed {seed}; to repeat: {repeat}", if passed { "passed" } else { "FAILED" });
    Ok(code)
}

async fn cluster(layout: &Layout, binaries: &local_servers::PostgresBinaries) -> anyhow::Result<PostgresCluster> {
    let options =
        ClusterOptions { binaries: Some(binaries.clone()), directory: Some(layout.servers.clone()), ..ClusterOptions::default() };
    PostgresCluster::start(options).await.context("the tests' cluster cannot be started")
}

fn has_nextest(layout: &Layout) -> bool {
    let mut command = cargo(layout);
    command.args(["nextest", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command to its end; `None` when a signal came first.
async fn run_step(command: &Command) -> anyhow::Result<Option<bool>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut children = signal(SignalKind::child())?;
    let launch = Launch { command, account: local_servers::Account::Own, guard: Signal::SIGTERM };
    let mut process: Process = launch.start(Stdio::inherit(), Stdio::inherit())?;
    loop {
        if let Some(status) = process.ended() {
            return Ok(Some(status.success()));
        }
        tokio::select! {
            _ = children.recv() => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    // The whole group: cargo would leave the tests running.
    let group = nix::unistd::Pid::from_raw(i32::try_from(process.pid())?);
    nix::sys::signal::killpg(group, Signal::SIGTERM)?;
    if !process.end(Signal::SIGTERM, STOP_LIMIT).await? {
        nix::sys::signal::killpg(group, Signal::SIGKILL)?;
    }
    Ok(None)
}
