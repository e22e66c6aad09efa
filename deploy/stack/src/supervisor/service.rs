//! One service: what it runs, when it is ready, and the loop that keeps it running.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use local_servers::{Account, Launch, PostmasterState, Process, postmaster_state};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::log::Log;
use super::{Order, Running, Table};

/// The first wait before a dead process is started again; it doubles with each death …
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// … up to this …
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// … and begins anew once it has run for so long.
const STEADY: Duration = Duration::from_secs(20);
/// How long a process may take to finish its work in flight.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// A lost child signal is noticed after this.
const LOOK: Duration = Duration::from_secs(5);
const CHECK_LIMIT: Duration = Duration::from_secs(2);

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

/// How to tell that a service is ready.
#[derive(Debug, Clone)]
pub enum Readiness {
    /// The cluster's state file says so.
    Postmaster(PathBuf),
    /// It greets on this port by this name: another stack's server may have been faster to take the port.
    Nats(u16, String),
    /// Its admin port says so, under its process id: another process may have been faster to take the port.
    Http(String),
}

impl Readiness {
    /// Asks; the error says what is missing.
    pub async fn check(&self, pid: u32) -> Result<(), String> {
        match self {
            Readiness::Postmaster(data) => match postmaster_state(data, pid) {
                PostmasterState::Ready => Ok(()),
                PostmasterState::NotReady => Err("it does not accept connections".to_owned()),
            },
            Readiness::Nats(port, name) => nats(*port, name).await,
            Readiness::Http(url) => http(url, pid).await,
        }
    }
}

async fn nats(port: u16, name: &str) -> Result<(), String> {
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let mut greeting = [0; 512];
        let length = stream.read(&mut greeting).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&greeting[..length]).into_owned())
    };
    match tokio::time::timeout(CHECK_LIMIT, asked).await {
        Ok(Ok(greeting)) if greeting.contains(&format!("\"server_name\":\"{name}\"")) => Ok(()),
        Ok(Ok(_)) => Err(format!("another server answers on port {port}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn http(url: &str, pid: u32) -> Result<(), String> {
    const SHOWN: usize = 300;
    let client = reqwest::Client::builder().timeout(CHECK_LIMIT).no_proxy().build().map_err(|error| error.to_string())?;
    let asked = client.get(format!("{url}/readyz?verbose")).send().await.map_err(|error| error.without_url().to_string())?;
    let status = asked.status();
    let text = asked.text().await.map_err(|error| error.without_url().to_string())?;
    let report: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{status}, not a report: {error}"))?;
    if report["pid"] != pid {
        return Err(format!("another process answers on {url}"));
    }
    if status.is_success() {
        return Ok(());
    }
    Err(format!("{status} {}", text.chars().take(SHOWN).collect::<String>()))
}

/// Tells the supervisor what runs.
pub(super) struct Reporter {
    pub(super) table: Table,
    pub(super) changed: watch::Sender<u64>,
}

impl Reporter {
    fn tell(&self, name: &str, running: Running) {
        self.table.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.to_owned(), running);
        self.changed.send_modify(|version| *version += 1);
    }
}

enum Ended {
    Asked,
    Died(String),
}

/// Runs the service until it is told to stop.
pub(super) async fn keep(service: Service, log: Log, reporter: Reporter, mut orders: watch::Receiver<Order>) {
    let (mut pause, mut restarts) = (FIRST_PAUSE, 0);
    let program = PathBuf::from(service.command.get_program());
    let state = |pid, restarts| Running { pid, program: program.clone(), restarts };
    // Without the supervisor there are no more orders.
    while orders.has_changed().is_ok() {
        let order = *orders.borrow_and_update();
        match order {
            Order::Run => {}
            Order::Rest => {
                reporter.tell(service.name, state(None, restarts));
                let _supervisor_gone = orders.changed().await;
                pause = FIRST_PAUSE;
                continue;
            }
            Order::End => break,
        }
        let started = Instant::now();
        let launch = Launch { command: &service.command, account: service.account, guard: service.stop };
        let why = match launch.start(Stdio::piped(), Stdio::piped()) {
            Ok(process) => {
                reporter.tell(service.name, state(Some(process.pid()), restarts));
                match run(process, &service, &log, &mut orders).await {
                    Ended::Asked => continue,
                    Ended::Died(why) => why,
                }
            }
            Err(error) => {
                std::error::Error::source(&error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
            }
        };
        if started.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        reporter.tell(service.name, state(None, restarts));
        log.note(&format!("{why}; starting it again in {} ms", pause.as_millis()));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = orders.changed() => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        restarts += 1;
    }
    reporter.tell(service.name, state(None, restarts));
}

async fn run(mut process: Process, service: &Service, log: &Log, orders: &mut watch::Receiver<Order>) -> Ended {
    let readers = log.follow(&mut process);
    let ended = watch_over(&mut process, service, log, orders).await;
    // The end of what it said; a grandchild that holds the pipe open is not waited for.
    for reader in readers {
        if let Ok(Err(error)) = tokio::time::timeout(CHECK_LIMIT, reader).await {
            log.note(&format!("its output cannot be read: {error}"));
        }
    }
    ended
}

async fn watch_over(process: &mut Process, service: &Service, log: &Log, orders: &mut watch::Receiver<Order>) -> Ended {
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
                        Ok(false) => log.note(&format!("it did not stop within {} s and is killed", STOP_LIMIT.as_secs())),
                        Err(error) => log.note(&format!("it could not be stopped: {error}")),
                    }
                    return Ended::Asked;
                }
            }
        }
    }
}
