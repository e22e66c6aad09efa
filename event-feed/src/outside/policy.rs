//! Decides what happens to an event after an attempt. It is a pure function.

use std::time::Duration;

use super::receiver::{NotTaken, Taken};
use crate::consumer::BoxError;

/// The maximum number of different delays. RabbitMQ has a queue for each.
const MAX_DELAYS: usize = 8;

/// The delays are not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("between 1 and {MAX_DELAYS} delays are needed, each of at least 1 ms and each once")]
pub struct InvalidRetries;

/// How often an event is tried, and how long it waits in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    delays: Vec<Duration>,
    attempts: u32,
}

impl Default for Retries {
    /// After 1 s, 10 s, 1 min, and then every 10 min; 20 attempts, which take about 3 hours.
    fn default() -> Self {
        Self { delays: [1, 10, 60, 600].map(Duration::from_secs).to_vec(), attempts: 20 }
    }
}

impl Retries {
    /// Waits for the first delay after the first attempt, and so on; for the last one after each
    /// further attempt. After `attempts` attempts, an event is a dead letter.
    ///
    /// # Errors
    /// [`InvalidRetries`].
    pub fn new(delays: Vec<Duration>, attempts: u32) -> Result<Self, InvalidRetries> {
        let is_new = |(at, delay): (usize, &Duration)| !delays[..at].contains(delay);
        let are_distinct = delays.iter().enumerate().all(is_new);
        let are_long = delays.iter().all(|delay| delay.as_millis() >= 1);
        if delays.is_empty() || delays.len() > MAX_DELAYS || !are_distinct || !are_long {
            return Err(InvalidRetries);
        }
        Ok(Self { delays, attempts })
    }

    /// All delays.
    pub(super) fn delays(&self) -> &[Duration] {
        &self.delays
    }

    /// What happens to an event after an attempt. `failed` counts the attempts before it.
    ///
    /// # Errors
    /// The receiver can take no event now.
    pub(super) fn step(
        &self,
        taken: Result<Taken, NotTaken>,
        failed: u32,
    ) -> Result<Step, BoxError> {
        let (error, may_succeed) = match taken {
            Ok(_) => return Ok(Step::Acknowledge),
            Err(NotTaken::Unable(error)) => return Err(error),
            Err(NotTaken::Later(error)) => (error, true),
            Err(NotTaken::Never(error)) => (error, false),
        };
        let attempts = failed.saturating_add(1);
        let reason = reason(&error);
        if !may_succeed || attempts >= self.attempts {
            return Ok(Step::Bury { attempts, reason });
        }
        let at = usize::try_from(failed).unwrap_or(usize::MAX);
        let delay = self.delays.get(at).or(self.delays.last()).copied().unwrap_or_default();
        Ok(Step::Retry { attempts, delay, reason })
    }
}

/// What happens to an event after an attempt.
#[derive(Debug)]
pub(super) enum Step {
    /// It is done.
    Acknowledge,
    /// It is tried again after the delay.
    Retry { attempts: u32, delay: Duration, reason: String },
    /// It becomes a dead letter.
    Bury { attempts: u32, reason: String },
}

/// An error and its causes on one line, which a header can hold.
fn reason(error: &BoxError) -> String {
    const MAX_BYTES: usize = 1_000;
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let mut text: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    while text.len() > MAX_BYTES {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn seconds(all: &[u64]) -> Vec<Duration> {
        all.iter().copied().map(Duration::from_secs).collect()
    }

    fn shown(step: &Result<Step, BoxError>) -> String {
        match step {
            Ok(Step::Acknowledge) => "done".to_owned(),
            Err(error) => format!("wait: {error}"),
            Ok(Step::Retry { attempts, delay, .. }) => format!("{attempts} again in {delay:?}"),
            Ok(Step::Bury { attempts, reason }) => format!("{attempts} dead: {reason}"),
        }
    }

    #[test]
    fn an_event_waits_longer_after_each_attempt_and_is_dead_after_the_last() {
        let retries = Retries::new(seconds(&[1, 5]), 4).unwrap();
        let later = |failed| retries.step(Err(NotTaken::Later("no".into())), failed);
        let steps: Vec<String> = (0..4).map(|failed| shown(&later(failed))).collect();
        assert_eq!(steps, ["1 again in 1s", "2 again in 5s", "3 again in 5s", "4 dead: no"]);
        let never = retries.step(Err(NotTaken::Never("no\nnever".into())), 0);
        assert_eq!(shown(&never), "1 dead: no never");
        assert_eq!(shown(&retries.step(Ok(Taken::Before), 9)), "done");
        assert_eq!(shown(&retries.step(Err(NotTaken::Unable("away".into())), 9)), "wait: away");
    }

    #[test]
    fn a_long_reason_is_cut() {
        let never = NotTaken::Never("é".repeat(5_000).into());
        let Ok(Step::Bury { reason, .. }) = Retries::default().step(Err(never), 0) else {
            unreachable!("it is a dead letter")
        };
        assert_eq!(reason, "é".repeat(500));
    }

    #[test]
    fn delays_that_cannot_be_queues_are_refused() {
        for delays in [vec![], seconds(&[1, 1]), seconds(&[0]), seconds(&[1, 2, 3, 4, 5, 6, 7, 8, 9])]
        {
            assert_eq!(Retries::new(delays, 3), Err(InvalidRetries));
        }
    }
}
