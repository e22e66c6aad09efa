//! Clients in separate processes that can be killed. The test program starts itself with the name
//! of one test, which does nothing unless the environment makes it a client process.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_store::{EventStore, PostgresStore, StoreError};
use local_servers::{Account, Launch, Process};
use nix::sys::signal::Signal;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use super::client::{Client, Habits, Record};
use crate::history::Line;
use crate::support::{connect, options};

/// The environment variable that makes a process a client process and identifies it.
const TOLD: &str = "DAYBOOK_TEST_HISTORY_CLIENTS";
/// The number of clients per process.
const CLIENTS: u64 = 8;
/// The maximum time for a process to finish its open requests.
const LIMIT: Duration = Duration::from_secs(30);

#[derive(Serialize, Deserialize)]
struct Told {
    url: String,
    record: PathBuf,
    /// The file whose existence stops the clients.
    stop: PathBuf,
    first: u64,
    seed: u64,
}

/// The folder with one run's records, and its processes.
pub(super) struct Processes {
    url: String,
    folder: tempfile::TempDir,
    running: Vec<Process>,
    started: u64,
    seed: u64,
}

impl Processes {
    pub(super) fn start(url: String, count: usize, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Self { url, folder, running: Vec::new(), started: 0, seed };
        for _ in 0..count {
            let process = all.launch();
            all.running.push(process);
        }
        all
    }

    fn launch(&mut self) -> Process {
        self.started += 1;
        let told = Told {
            url: self.url.clone(),
            record: self.folder.path().join(format!("{}.lines", self.started)),
            stop: self.folder.path().join("stop"),
            first: self.started * CLIENTS,
            seed: self.seed.wrapping_add(self.started),
        };
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "histories::process::a_process_of_clients_asks_until_it_is_told_to_stop",
            "--nocapture",
        ]);
        command.env(TOLD, serde_json::to_string(&told).unwrap());
        let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
        launch.start(Stdio::null(), Stdio::inherit()).unwrap()
    }

    /// Kills one process with -9 and starts another in its place.
    pub(super) async fn kill_one(&mut self, which: usize) {
        let which = which % self.running.len();
        assert!(self.running[which].ended().is_none(), "a process of clients ended by itself");
        assert!(self.running[which].end(Signal::SIGKILL, LIMIT).await.unwrap());
        assert_eq!(self.running[which].ended().unwrap().signal(), Some(9));
        self.running[which] = self.launch();
    }

    /// Lets all processes finish, and returns the records of all that ever ran.
    pub(super) async fn finish(mut self) -> Vec<Line> {
        std::fs::write(self.folder.path().join("stop"), "").unwrap();
        let deadline = std::time::Instant::now() + LIMIT;
        while let Some(process) = self.running.last_mut() {
            if let Some(status) = process.ended() {
                assert!(status.success(), "{status}");
                self.running.pop();
            } else {
                assert!(std::time::Instant::now() < deadline, "the clients did not stop");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        let records =
            (1..=self.started).map(|number| self.folder.path().join(format!("{number}.lines")));
        records
            .filter(|record| record.is_file())
            .flat_map(|record| lines(&std::fs::read(record).unwrap()))
            .collect()
    }
}

/// Returns all complete lines; a kill may have cut off the last one.
pub(super) fn lines(bytes: &[u8]) -> Vec<Line> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let texts = bytes[..whole].split(|byte| *byte == b'\n').filter(|text| !text.is_empty());
    texts.map(|text| serde_json::from_slice(text).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_clients_asks_until_it_is_told_to_stop() {
    let Ok(told) = std::env::var(TOLD) else { return };
    let told: Told = serde_json::from_str(&told).unwrap();
    let file = std::fs::File::options().create(true).append(true).open(&told.record).unwrap();
    let record: Record = Arc::new(Mutex::new(file));
    let Some((store, known)) = connected(&told.url, &told.stop).await else { return };
    let clients = (0..CLIENTS).map(|number| {
        let random = StdRng::seed_from_u64(told.seed.wrapping_mul(CLIENTS).wrapping_add(number));
        let habits = Habits { keys: true, conditions_only: false };
        let mut client = Client::new(
            told.first + number,
            store.clone(),
            Arc::clone(&record),
            random,
            habits,
            known,
        );
        let stop = told.stop.clone();
        tokio::spawn(async move { client.run(|| !stop.exists()).await })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

/// Returns a store and its head. Postgres may be down when a process starts, so it retries. `None`
/// when it is told to stop first.
async fn connected(url: &str, stop: &Path) -> Option<(PostgresStore, i64)> {
    loop {
        let found = match PostgresStore::connect(options(url)).await {
            Ok(store) => store.head().await.map(|head| (store, head.mark.position.0)),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => return Some(found),
            Err(StoreError::Unavailable(_)) if !stop.exists() => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(StoreError::Unavailable(_)) => return None,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Runs clients in the test's own process, for histories without kills.
pub(super) async fn beside(
    urls: [&str; 2],
    habits: Habits,
    record: Record,
    seed: u64,
) -> Vec<Client> {
    let stores = [connect(urls[0]).await, connect(urls[1]).await];
    let clients = (0..2 * CLIENTS).map(|number| {
        let random = StdRng::seed_from_u64(seed.wrapping_add(number));
        Client::new(
            number,
            stores[usize::from(number % 2 == 1)].clone(),
            Arc::clone(&record),
            random,
            habits,
            0,
        )
    });
    clients.collect()
}
