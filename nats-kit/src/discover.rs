//! Asks all processes at once who they are and how they are.
//!
//! The number of processes is unknown, so every answer that comes within [`GATHERING`] counts. A
//! process that is too slow is missing from the list. If nobody is registered, the server itself
//! says so; so a question without any answer means that NATS is away.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use async_nats::{Message, PublishError, SubscribeError};
use futures::StreamExt as _;
use futures::stream::select_all;
use tokio::time::{Instant, timeout, timeout_at};

use crate::connection::{NatsHandle, REQUEST_TIMEOUT};
use crate::found::{Answer, Found, Standing, Who, no_standing, standing};

/// How long answers are gathered.
pub const GATHERING: Duration = Duration::from_secs(1);
/// The maximum number of processes in a list. Further ones are left out.
pub const MAX_PROCESSES: usize = 500;
/// The maximum number of answers that are read: each process gives two.
const MAX_ANSWERS: usize = 2 * MAX_PROCESSES;
/// Who and where each process is; how each is.
const QUESTIONS: [&str; 2] = ["$SRV.INFO", "$SRV.STATS"];

/// Why it is not known which processes run.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// There is no connection to NATS.
    #[error("NATS is away")]
    Away,
    /// The server did not answer, not even that there is nobody.
    #[error("NATS did not answer within {} s", GATHERING.as_secs())]
    Silent,
    /// The connection took no message in time.
    #[error("the connection to NATS took no message within {} s", REQUEST_TIMEOUT.as_secs())]
    Stuck,
    /// The client is closed.
    #[error("the client of NATS cannot subscribe")]
    Subscribe(#[from] SubscribeError),
    /// The client is closed.
    #[error("the client of NATS cannot ask")]
    Ask(#[from] PublishError),
}

/// Finds the processes that are registered now, by name and id.
///
/// # Errors
/// [`DiscoverError`]: NATS is away, so nobody knows.
pub async fn discover(nats: &NatsHandle) -> Result<Vec<Found>, DiscoverError> {
    if !nats.is_connected() {
        return Err(DiscoverError::Away);
    }
    let asking = async {
        let client = nats.client();
        let mut answers = Vec::new();
        for question in QUESTIONS {
            // An inbox for each: a server may allow one answer per subject and process.
            let inbox = client.new_inbox();
            answers.push(client.subscribe(inbox.clone()).await?);
            client.publish_with_reply(question, inbox, "".into()).await?;
        }
        Ok::<_, DiscoverError>(select_all(answers))
    };
    let mut answers =
        timeout(REQUEST_TIMEOUT, asking).await.map_err(|_| DiscoverError::Stuck)??;
    let (deadline, mut gathered) = (Instant::now() + GATHERING, Gathered::default());
    while gathered.count < MAX_ANSWERS {
        match timeout_at(deadline, answers.next()).await {
            Ok(Some(answer)) => gathered.take(&answer),
            Ok(None) | Err(_) => break,
        }
    }
    if gathered.count == 0 { Err(DiscoverError::Silent) } else { Ok(gathered.processes()) }
}

/// The answers so far.
#[derive(Debug, Default)]
struct Gathered {
    /// The number of messages, of any kind.
    count: usize,
    processes: BTreeMap<Who, Described>,
}

/// What one process said.
#[derive(Debug, Default)]
struct Described {
    info: Option<(String, BTreeMap<String, String>)>,
    stats: Option<(chrono::DateTime<chrono::Utc>, Standing)>,
}

impl Gathered {
    fn take(&mut self, message: &Message) {
        self.count += 1;
        // The server says with a status that nobody is there.
        if message.status.is_none() {
            if let Some(answer) = Answer::read(&message.payload) {
                self.add(answer);
            } else {
                tracing::debug!("an answer of a service on NATS was ignored");
            }
        }
    }

    /// Adds an answer. The first of its kind counts.
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Info { who, version, metadata } => {
                let metadata = metadata.unwrap_or_default();
                self.of(who).map(|said| said.info.get_or_insert((version, metadata)));
            }
            Answer::Stats { who, started, endpoints } => {
                let standing = standing(endpoints);
                self.of(who).map(|said| said.stats.get_or_insert((started, standing)));
            }
        }
    }

    fn of(&mut self, who: Who) -> Option<&mut Described> {
        let is_full = self.processes.len() >= MAX_PROCESSES;
        match self.processes.entry(who) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(_) if is_full => None,
            Entry::Vacant(new) => Some(new.insert(Described::default())),
        }
    }

    /// The processes that said who they are.
    fn processes(self) -> Vec<Found> {
        let found = self.processes.into_iter().filter_map(|(Who { name, id }, said)| {
            let (version, metadata) = said.info?;
            let (since, standing) = match said.stats {
                Some((since, standing)) => (Some(since), standing),
                None => (None, no_standing()),
            };
            Some(Found { name, id, version, standing, since, metadata })
        });
        found.collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::State;

    fn answer(kind: &str, id: &str, version: &str) -> Answer {
        let answer = json!({"type": format!("io.nats.micro.v1.{kind}_response"), "name": "one",
            "id": id, "version": version, "started": "2026-01-02T03:04:05Z",
            "endpoints": [{"name": "health", "data": {"state": "ready"}}]});
        Answer::read(answer.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn both_answers_of_a_process_are_one_entry_and_the_first_of_a_kind_counts() {
        let mut gathered = Gathered::default();
        for (kind, id, version) in [
            ("stats", "A", "1"),
            ("info", "A", "1"),
            ("info", "A", "2"),
            ("info", "B", "3"),
            ("stats", "C", "4"),
        ] {
            gathered.add(answer(kind, id, version));
        }
        let found = gathered.processes();
        let brief = found.iter().map(|one| (&*one.id, &*one.version, one.standing.state));
        let expected = [("A", "1", State::Ready), ("B", "3", State::Unknown)];
        assert_eq!(brief.collect::<Vec<_>>(), expected);
        assert!(found[0].since.is_some() && found[1].since.is_none());
    }

    #[test]
    fn a_flood_of_answers_fills_a_bounded_list() {
        let mut gathered = Gathered::default();
        for number in 0..=MAX_PROCESSES {
            gathered.add(answer("info", &number.to_string(), "1"));
        }
        assert_eq!(gathered.processes().len(), MAX_PROCESSES);
    }
}
