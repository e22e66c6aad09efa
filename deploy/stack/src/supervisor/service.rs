//! One supervised service, and the loop that keeps it running.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_servers::{Account, Launch, Process};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::log::Log;
use super::readiness::Readiness;
use super::{Order, Running, Table};
use crate::build::Build;
use crate::identity::ProcessId;
use crate::pauses;

/// The first pause before a dead process is restarted. It doubles with each death.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between restarts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After running for this long, the pause starts again from the first.
const STEADY: Duration = Duration::from_secs(20);
/// How long a process may take to finish its work in flight.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often to check for an end, in case a child signal was lost.
const LOOK: Duration = Duration::from_secs(5);
/// How long to wait for the rest of an ended process's output.
const OUTPUT_LIMIT: Duration = Duration::from_secs(2);

/// A service to run.
pub struct Service {
    /// The name in logs and tables.
    pub name: &'static str,
    /// The command to run.
    pub command: Command,
    /// The account to run it as.
    pub account: Account,
    /// The signal that stops it cleanly.
    pub stop: Signal,
    /// How to check that it is ready.
    pub readiness: Readiness,
}

/// Reports to the supervisor what runs.
pub(super) struct Reporter {
    pub(super) table: Table,
    pub(super) changed: watch::Sender<u64>,
}

impl Reporter {
    fn tell(&self, name: &str, running: Running) {
        self.table
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(name.to_owned(), running);
        self.changed.send_modify(|version| *version += 1);
    }
}

enum Ended {
    Asked,
    Died(String),
}

/// Runs the service until the supervisor ends it.
pub(super) async fn keep(
    service: Service,
    log: Log,
    reporter: Reporter,
    mut orders: watch::Receiver<Order>,
) {
    let growing = || pauses::growing(FIRST_PAUSE, LONGEST_PAUSE);
    let (mut pauses, mut restarts) = (growing(), 0);
    let stopped = |restarts| Running { process: None, program: None, restarts };
    // Without a supervisor there are no more orders.
    while orders.has_changed().is_ok() {
        let order = *orders.borrow_and_update();
        match order {
            Order::Run => {}
            Order::Rest => {
                reporter.tell(service.name, stopped(restarts));
                let _supervisor_gone = orders.changed().await;
                pauses = growing();
                continue;
            }
            Order::End => break,
        }
        let started = Instant::now();
        // Read before the start. If a build replaces the file in between, the process counts as an
        // older build.
        let program = Build::of(Path::new(service.command.get_program())).ok();
        let launch =
            Launch { command: &service.command, account: service.account, guard: service.stop };
        let why = match launch.start(Stdio::piped(), Stdio::piped()) {
            Ok(process) => {
                reporter.tell(
                    service.name,
                    Running { process: ProcessId::of(process.pid()), program, restarts },
                );
                match run(process, &service, &log, &mut orders).await {
                    Ended::Asked => continue,
                    Ended::Died(why) => why,
                }
            }
            Err(error) => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
        };
        if started.elapsed() > STEADY {
            pauses = growing();
        }
        reporter.tell(service.name, stopped(restarts));
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        log.note(&format!("{why}; restarting it in {} ms", pause.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = orders.changed() => {}
        }
        restarts += 1;
    }
    reporter.tell(service.name, stopped(restarts));
}

async fn run(
    mut process: Process,
    service: &Service,
    log: &Log,
    orders: &mut watch::Receiver<Order>,
) -> Ended {
    let readers = log.follow(&mut process);
    let ended = watch_over(&mut process, service, log, orders).await;
    // Reads the rest of the output, but does not wait for a grandchild that holds the pipe open.
    for reader in readers {
        if let Ok(Err(error)) = tokio::time::timeout(OUTPUT_LIMIT, reader).await {
            log.note(&format!("cannot read its output: {error}"));
        }
    }
    ended
}

async fn watch_over(
    process: &mut Process,
    service: &Service,
    log: &Log,
    orders: &mut watch::Receiver<Order>,
) -> Ended {
    let mut children = match signal(SignalKind::child()) {
        Ok(children) => children,
        Err(error) => return Ended::Died(format!("cannot watch it: {error}")),
    };
    let mut look = tokio::time::interval(LOOK);
    loop {
        if let Some(status) = process.ended() {
            return Ended::Died(format!("it ended ({status})"));
        }
        tokio::select! {
            _ = children.recv() => {}
            _ = look.tick() => {}
            changed = orders.changed() => {
                if changed.is_err() || *orders.borrow() != Order::Run {
                    match process.end(service.stop, STOP_LIMIT).await {
                        Ok(true) => {}
                        Ok(false) => log.note(&format!("it did not stop within {} s and is killed",
                            STOP_LIMIT.as_secs())),
                        Err(error) => log.note(&format!("could not stop it: {error}")),
                    }
                    return Ended::Asked;
                }
            }
        }
    }
}
