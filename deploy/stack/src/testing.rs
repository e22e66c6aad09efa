//! `test`: runs the whole suite on separate servers, which it removes afterwards. It shares nothing
//! with a running stack.

use std::ffi::OsStr;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use local_servers::{ClusterOptions, Launch, PostgresCluster, Process, RabbitMqPrograms};
use nix::sys::signal::Signal;
use rand::Rng;
use tokio::signal::unix::{SignalKind, signal};

use crate::check::Check;
use crate::cli::TestArgs;
use crate::layout::Layout;
use crate::tree::cargo;
use crate::{build, choose, nextest};

/// The exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;
/// How long the test runner may take to stop its tests.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long the whole suite may take, including its build.
const SUITE_LIMIT: Duration = Duration::from_hours(2);
/// The same limit with the full counts of `--long`.
const LONG_SUITE_LIMIT: Duration = Duration::from_hours(12);
/// How long the documentation's examples may take.
const EXAMPLES_LIMIT: Duration = Duration::from_mins(45);

/// Runs the suite.
pub async fn run(layout: &Layout, args: &TestArgs) -> anyhow::Result<ExitCode> {
    let rabbitmq = args.only == Some(Check::Rabbitmq);
    let wanted = choose::Wanted { bundled: args.bundled, rabbitmq };
    let servers = choose::for_tests(layout, wanted)?;
    eprintln!(
        "stack: testing on {} and {}",
        servers.postgres.bin().display(),
        servers.nats.display()
    );
    let runner = nextest::find(layout)?;
    let programs = build::all(layout, "dev")?;
    let cluster = cluster(layout, &servers.postgres).await?;
    let seed = args.seed.unwrap_or_else(|| rand::rng().random_range(0..1_000_000_000));
    let environment = |command: &mut Command| {
        // Tests start stacks of their own. The settings of this one are not theirs.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_the_stack(name)) {
            command.env_remove(name);
        }
        command.env("DAYBOOK_TEST_POSTGRES_URL", cluster.url());
        command.env("DAYBOOK_TEST_PG_BIN", servers.postgres.bin());
        command.env("DAYBOOK_TEST_NATS_SERVER", &servers.nats);
        if let Some((rabbitmq, erlang)) = servers.rabbitmq.as_ref().map(RabbitMqPrograms::folders) {
            command.env("DAYBOOK_TEST_RABBITMQ", rabbitmq).env("DAYBOOK_TEST_ERLANG", erlang);
        }
        command.env("DAYBOOK_TEST_PROGRAMS", &programs.folder);
        command.env("DAYBOOK_TEST_SEED", seed.to_string());
        command.env("DAYBOOK_TEST_COUNT", if args.long { "long" } else { "short" });
    };
    let repeat = repeat(args, seed);
    eprintln!("stack: seed {seed}; to repeat: {repeat}");
    let (suite_limit, profile) =
        if args.long { (LONG_SUITE_LIMIT, "long") } else { (SUITE_LIMIT, "default") };
    let mut suite = Command::new(&runner);
    in_checkout(layout, &mut suite);
    suite.args(["nextest", "run", "--locked", "--no-fail-fast", "--profile", profile]);
    if let Some(check) = args.only {
        check.select(&mut suite);
    } else if !args.args.iter().any(|arg| arg == "-p" || arg.starts_with("--package")) {
        // Naming packages would otherwise also build the tests of all others.
        suite.arg("--workspace");
    }
    if std::env::var_os("CI").is_some() {
        suite.args(["--status-level", "fail", "--final-status-level", "slow"]);
    }
    suite.args(&args.args);
    let mut steps = vec![("the suite", suite, suite_limit)];
    // A filter applies to the suite. The documentation's examples run only without one.
    if args.args.is_empty() && args.only.is_none() {
        let mut examples = cargo(layout);
        examples.args(["test", "--locked", "--workspace", "--doc", "--quiet"]);
        steps.push(("the documentation's examples", examples, EXAMPLES_LIMIT));
    }
    let mut code = ExitCode::SUCCESS;
    for (name, mut step, limit) in steps {
        environment(&mut step);
        match run_step(&step, limit).await? {
            Ended::Passed => {}
            Ended::Failed => code = ExitCode::FAILURE,
            Ended::TooLong => {
                eprintln!(
                    "stack: {name} did not end within {} min: stopping it",
                    limit.as_secs() / 60
                );
                code = ExitCode::FAILURE;
            }
            Ended::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    let passed = code == ExitCode::SUCCESS;
    eprintln!(
        "stack: the tests {}; seed {seed}; to repeat: {repeat}",
        if passed { "passed" } else { "FAILED" }
    );
    Ok(code)
}

/// The command that repeats a run.
fn repeat(args: &TestArgs, seed: u64) -> String {
    let only = args.only.map(|check| format!(" --only {}", check.name())).unwrap_or_default();
    format!("cargo stack test{only} --seed {seed}{}", if args.long { " --long" } else { "" })
}

/// Whether an environment variable is a setting of `cargo stack`.
fn is_of_the_stack(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"STACK_")
}

/// Gives a command the working folder and environment that cargo has here, because the runner calls
/// cargo.
fn in_checkout(layout: &Layout, command: &mut Command) {
    let cargo = cargo(layout);
    command.current_dir(&layout.root).env("CARGO", cargo.get_program());
    for (name, value) in cargo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
}

async fn cluster(
    layout: &Layout,
    binaries: &local_servers::PostgresBinaries,
) -> anyhow::Result<PostgresCluster> {
    let options = ClusterOptions {
        binaries: Some(binaries.clone()),
        directory: Some(layout.servers.clone()),
        ..ClusterOptions::default()
    };
    PostgresCluster::start(options).await.context("cannot start the tests' cluster")
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Passed,
    Failed,
    TooLong,
    /// A signal interrupted the step.
    Interrupted,
}

/// Runs a command to completion within a limit.
async fn run_step(command: &Command, limit: Duration) -> anyhow::Result<Ended> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut children = signal(SignalKind::child())?;
    let launch = Launch { command, account: local_servers::Account::Own, guard: Signal::SIGTERM };
    let mut process: Process = launch.start(Stdio::inherit(), Stdio::inherit())?;
    let late = tokio::time::sleep(limit);
    tokio::pin!(late);
    let why = loop {
        if let Some(status) = process.ended() {
            return Ok(if status.success() { Ended::Passed } else { Ended::Failed });
        }
        tokio::select! {
            _ = children.recv() => {}
            () = &mut late => break Ended::TooLong,
            _ = interrupt.recv() => break Ended::Interrupted,
            _ = terminate.recv() => break Ended::Interrupted,
        }
    };
    // Signals the whole group, because cargo would leave the tests running.
    let group = nix::unistd::Pid::from_raw(i32::try_from(process.pid())?);
    nix::sys::signal::killpg(group, Signal::SIGTERM)?;
    if !process.end(Signal::SIGTERM, STOP_LIMIT).await? {
        nix::sys::signal::killpg(group, Signal::SIGKILL)?;
    }
    Ok(why)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;
    use std::time::Duration;

    use super::{Ended, run_step};

    #[tokio::test]
    async fn a_step_that_hangs_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let mut step = Command::new("sh");
        step.args(["-c", "sleep 600 & echo $! > \"$0\"; wait"]).arg(&pid);
        assert_eq!(run_step(&step, Duration::from_millis(500)).await.unwrap(), Ended::TooLong);
        let started: u32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while crate::identity::ProcessId::of(started).is_some() {
            assert!(std::time::Instant::now() < deadline, "what the step started still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(
            run_step(&Command::new("true"), Duration::from_mins(1)).await.unwrap(),
            Ended::Passed
        );
        assert_eq!(
            run_step(&Command::new("false"), Duration::from_mins(1)).await.unwrap(),
            Ended::Failed
        );
    }
}
