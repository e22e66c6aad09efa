//! How the sandbox misbehaves: at random, by rates, or as a test asks for.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What goes wrong with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 503 before anything happens.
    Error,
    /// 429 with `Retry-After: 1` before anything happens.
    Limited,
    /// No answer, and no effect.
    Hang,
    /// 500, which is stored under the key, and no effect.
    Failed,
    /// The provider declines the request, for good.
    Declined,
    /// It takes effect, and then answers 500. A repeat gets the real answer.
    Broken,
    /// It takes effect, and never answers. A repeat gets the real answer.
    Lost,
    /// It takes effect, and the answer is cut in the middle. A repeat gets the real answer.
    Cut,
}

/// The rates of all faults, delays, and events that come twice. A rate is the part of the requests
/// that meets the fault, from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Milliseconds before each answer.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Milliseconds that an answer may take longer, at random.
    #[arg(long, default_value_t = 0)]
    pub latency_spread_ms: u64,
    /// Rate of 503 without effect.
    #[arg(long = "error-rate", default_value_t = 0.0)]
    pub error: f64,
    /// Rate of 429 without effect.
    #[arg(long = "limited-rate", default_value_t = 0.0)]
    pub limited: f64,
    /// Rate of requests without effect and without answer.
    #[arg(long = "hang-rate", default_value_t = 0.0)]
    pub hang: f64,
    /// Rate of 500 without effect, stored under the key.
    #[arg(long = "failed-rate", default_value_t = 0.0)]
    pub failed: f64,
    /// Rate of declined requests.
    #[arg(long = "declined-rate", default_value_t = 0.0)]
    pub declined: f64,
    /// Rate of 500 after the effect.
    #[arg(long = "broken-rate", default_value_t = 0.0)]
    pub broken: f64,
    /// Rate of effects without answer.
    #[arg(long = "lost-rate", default_value_t = 0.0)]
    pub lost: f64,
    /// Rate of effects whose answer is cut.
    #[arg(long = "cut-rate", default_value_t = 0.0)]
    pub cut: f64,
    /// How long a request without answer is held before 504, in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    pub hang_ms: u64,
    /// Rate of events that are sent twice.
    #[arg(long = "twice-rate", default_value_t = 0.0)]
    pub twice: f64,
    /// Milliseconds before an event is sent.
    #[arg(long, default_value_t = 0)]
    pub hook_delay_ms: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency_ms: 0,
            latency_spread_ms: 0,
            error: 0.0,
            limited: 0.0,
            hang: 0.0,
            failed: 0.0,
            declined: 0.0,
            broken: 0.0,
            lost: 0.0,
            cut: 0.0,
            hang_ms: 60_000,
            twice: 0.0,
            hook_delay_ms: 0,
        }
    }
}

/// The rates are not rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("each rate is from 0 to 1, and all rates of faults together are at most 1")]
pub struct InvalidFaults;

/// A fault that the next request meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Next {
    /// What goes wrong with that request.
    pub fault: Fault,
    /// The operation that meets it, such as `capture`; any without one.
    #[serde(default)]
    pub operation: Option<String>,
}

impl Faults {
    /// Checks the rates.
    ///
    /// # Errors
    /// [`InvalidFaults`].
    pub fn checked(self) -> Result<Self, InvalidFaults> {
        let rates = self.rates().map(|(_, rate)| rate);
        let is_rate = |rate: &f64| (0.0..=1.0).contains(rate);
        let fits = rates.iter().all(is_rate) && is_rate(&self.twice);
        if fits && rates.iter().sum::<f64>() <= 1.0 + f64::EPSILON * 8.0 {
            Ok(self)
        } else {
            Err(InvalidFaults)
        }
    }

    const fn rates(&self) -> [(Fault, f64); 8] {
        [
            (Fault::Error, self.error),
            (Fault::Limited, self.limited),
            (Fault::Hang, self.hang),
            (Fault::Failed, self.failed),
            (Fault::Declined, self.declined),
            (Fault::Broken, self.broken),
            (Fault::Lost, self.lost),
            (Fault::Cut, self.cut),
        ]
    }

    /// The fault that a request meets, by its share of chance from 0 to 1.
    pub(crate) fn pick(&self, chance: f64) -> Option<Fault> {
        let mut passed = 0.0;
        self.rates().into_iter().find_map(|(fault, rate)| {
            passed += rate;
            (chance < passed).then_some(fault)
        })
    }
}

/// The chance of one request. It depends on the seed, the key and the number of the attempt alone,
/// so a run repeats whatever the order in which requests arrive.
pub(crate) fn chance(seed: u64, key: &str, attempt: u64) -> StdRng {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(attempt.to_be_bytes());
    hash.update(key.as_bytes());
    StdRng::from_seed(hash.finalize().into())
}

/// A share of chance from 0 to 1.
pub(crate) fn share(chance: &mut StdRng) -> f64 {
    chance.random()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn faults_come_at_their_rates_and_the_same_for_the_same_seed() {
        let faults = Faults { error: 0.2, lost: 0.05, ..Faults::default() }.checked().unwrap();
        let run = |seed| -> Vec<Option<Fault>> {
            let pick = |n: u32| faults.pick(share(&mut chance(seed, &n.to_string(), 1)));
            (0..10_000).map(pick).collect()
        };
        let first = run(1);
        let count = |fault| first.iter().filter(|found| **found == fault).count();
        assert!((1_850..2_150).contains(&count(Some(Fault::Error))));
        assert!((400..600).contains(&count(Some(Fault::Lost))));
        assert_eq!(count(Some(Fault::Cut)), 0);
        assert!(first == run(1) && first != run(2));
    }

    #[test]
    fn rates_are_rates() {
        let bad = [
            Faults { error: 1.1, ..Faults::default() },
            Faults { lost: -0.1, ..Faults::default() },
            Faults { twice: f64::NAN, ..Faults::default() },
            Faults { error: 0.6, cut: 0.6, ..Faults::default() },
        ];
        assert!(bad.into_iter().all(|faults| faults.checked() == Err(InvalidFaults)));
        assert!(Faults { error: 0.6, cut: 0.4, ..Faults::default() }.checked().is_ok());
    }
}
