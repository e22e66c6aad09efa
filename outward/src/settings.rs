//! The limits of calls to a target.

use std::time::Duration;

use crate::answer::{Answer, Verdict, judge};
use crate::breaker::BreakerSettings;
use crate::budget::BudgetSettings;
use crate::bulkhead::BulkheadSettings;

/// The limits of calls to one target.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The time limit of one attempt, with its whole answer.
    pub attempt_limit: Duration,
    /// The time limit of a call, with all attempts and the pauses between them.
    pub total_limit: Duration,
    /// The maximum number of attempts of one call.
    pub attempts: u32,
    /// The maximum length of the first pause between two attempts. Each further one may be twice
    /// as long.
    pub first_pause: Duration,
    /// The maximum length of any pause, unless the target names a longer one.
    pub longest_pause: Duration,
    /// A longer `Retry-After` counts as this. A broken target must not silence calls for years.
    pub max_retry_after: Duration,
    /// The maximum length of an answer's body, in bytes.
    pub max_answer: usize,
    /// How many retries there may be, compared to calls.
    pub budget: BudgetSettings,
    /// When calls are refused because the target fails.
    pub breaker: BreakerSettings,
    /// How many calls there may be at once.
    pub bulkhead: BulkheadSettings,
    /// Whether an answer is final.
    pub judge: fn(&Answer) -> Verdict,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempt_limit: Duration::from_secs(10),
            total_limit: Duration::from_secs(30),
            attempts: 4,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(5),
            max_retry_after: Duration::from_hours(1),
            max_answer: 1024 * 1024,
            budget: BudgetSettings::default(),
            breaker: BreakerSettings::default(),
            bulkhead: BulkheadSettings::default(),
            judge,
        }
    }
}
