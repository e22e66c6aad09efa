//! The sandbox, killed in the middle of its work and started again: what it answered is still true.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use futures::StreamExt as _;
use local_servers::{Account, Launch, Process, free_port, in_time, test_client};
use nix::sys::signal::Signal;
use sandbox::Counts;

/// The number of payments of each round, and of rounds.
const PAYMENTS: usize = 60;
const ROUNDS: usize = 4;

struct Running {
    process: Process,
    address: SocketAddr,
}

async fn start(state: &Path, more: &[&str]) -> Running {
    let [port, admin] = [free_port().unwrap(), free_port().unwrap()];
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox"));
    command.args(["--listen", &address.to_string(), "--log", "warn"]);
    command.args(["--admin-listen", &format!("127.0.0.1:{admin}")]).args(more);
    command.arg("--state").arg(state);
    let launch = Launch { command: &command, account: Account::Own, guard: Signal::SIGKILL };
    let process = launch.start(Stdio::null(), Stdio::inherit()).unwrap();
    let ready = async {
        while test_client().get(format!("http://127.0.0.1:{admin}/readyz")).send().await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    in_time("the sandbox", ready).await;
    Running { process, address }
}

impl Running {
    /// Authorises a payment. Returns its answer, or `None` without one.
    async fn authorise(&self, client: &reqwest::Client, key: &str) -> Option<String> {
        let body = format!(
            "amount=100&currency=eur&capture_method=manual&confirm=true&payment_method=pm_card_visa\
             &metadata[order_id]={key}"
        );
        let url = format!("http://{}/v1/payment_intents", self.address);
        let request = client.post(url).body(body).bearer_auth("sk_test_1");
        let answer = request.header("idempotency-key", key).send().await.ok()?;
        answer.text().await.ok()
    }

    async fn counts(&self) -> Counts {
        let url = format!("http://{}/_counts", self.address);
        test_client().get(url).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn what_was_answered_before_a_kill_is_true_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let client = test_client();
    let mut answers: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let running = start(&state, &[]).await;
        for (key, answer) in &answers {
            assert_eq!(running.authorise(&client, key).await.as_ref(), Some(answer), "{key}");
        }
        let keys: Vec<String> = (0..PAYMENTS).map(|nth| format!("{round}-{nth}")).collect();
        let asked = keys.iter().map(|key| running.authorise(&client, key));
        let mut asked = futures::stream::iter(asked).buffered(8).enumerate();
        while let Some((nth, answer)) = in_time("an answer", asked.next()).await {
            answers.extend(answer.map(|answer| (keys[nth].clone(), answer)));
            // In the middle of the others.
            if nth == PAYMENTS / 2 {
                running.process.signal(Signal::SIGKILL).unwrap();
            }
        }
        drop(asked);
        drop(running);
    }
    assert!(answers.len() >= ROUNDS * PAYMENTS / 2, "{}", answers.len());
    let running = start(&state, &[]).await;
    let counts = running.counts().await;
    for key in answers.keys() {
        assert_eq!(counts.keys[key].effects, 1, "{key}");
        assert_eq!(counts.orders[key].authorised, 1, "{key}");
    }
    assert!(counts.keys.values().all(|count| count.effects <= 1));
}

#[tokio::test]
async fn faults_are_set_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let running = start(&state, &["--failed-rate", "1", "--seed", "7"]).await;
    for _ in 0..2 {
        let answer = running.authorise(&test_client(), "key").await.unwrap();
        assert!(answer.contains("misbehaves"), "{answer}");
    }
    let count = running.counts().await.keys["key"].clone();
    assert_eq!((count.requests, count.effects), (2, 0));
}
