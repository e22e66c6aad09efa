//! One service: what it runs, and the loop that keeps it running.

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

/// The first wait before a dead process is started again; it doubles with each death …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this …
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// … and starts at the first again once it has run for so long.
const STEADY: Duration = Duration::from_secs(20);
/// How long a process may take to finish its work in flight.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A lost child signal is noticed after this.
const LOOK: Duration = Duration::from_secs(5);
/// How long the end of an ended process's output is waited for.
const OUTPUT_LIMIT: Duration = Duration::from_secs(2);

/// What is to run.
pub struct Service {
    /// Its name in logs and tables.
    pub name: &'static str,
    /// The program.
    pub command: Command,
    /// The account it runs as.
    pub account: Account,
    /// The signal that stops it in an orderly way.
    pub stop: Signal,
    /// How to tell that it is ready.
    pub readiness: Readiness,
}

/// Tells the supervisor what runs.
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

/// Runs the service until it is told to stop.
pub(super) async fn keep(
    service: Service,
    log: Log,
    reporter: Reporter,
    mut orders: watch::Receiver<Order>,
) {
    let (mut pause, mut restarts) = (FIRST_PAUSE, 0);
    let stopped = |restarts| Running { process: None, program: None, restarts };
    // Without the supervisor there are no more orders.
    while orders.has_changed().is_ok() {
        let order = *orders.borrow_and_update();
        match order {
            Order::Run => {}
            Order::Rest => {
                reporter.tell(service.name, stopped(restarts));
                let _supervisor_gone = orders.changed().await;
                pause = FIRST_PAUSE;
                continue;
            }
            Order::End => break,
        }
        let started = Instant::now();
        // Looked at before it is started: a build that comes in between makes the process one of
        // older programs.
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
            pause = FIRST_PAUSE;
        }
        reporter.tell(service.name, stopped(restarts));
        log.note(&format!("{why}; starting it again in {} ms", pause.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = orders.changed() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
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
    // The end of what it said; a grandchild that holds the pipe open is not waited for.
    for reader in readers {
        if let Ok(Err(error)) = tokio::time::timeout(OUTPUT_LIMIT, reader).await {
            log.note(&format!("its output cannot be read: {error}"));
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
        Err(error) => return Ended::Died(format!("it cannot be watched: {error}")),
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
                        Err(error) => log.note(&format!("it could not be stopped: {error}")),
                    }
                    return Ended::Asked;
                }
            }
        }
    }
}
