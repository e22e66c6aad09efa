//! The budget of retries: a bucket of tokens. When a target is in trouble, retries must not become
//! most of its load.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// How many retries there may be.
#[derive(Debug, Clone, Copy)]
pub struct BudgetSettings {
    /// Retries that each call adds to the budget. 0.5 lets retries grow the load by half.
    pub per_call: f64,
    /// Retries that each second adds, so that rare calls can be repeated.
    pub per_second: f64,
    /// The maximum number of saved retries, with which a budget also begins.
    pub most: f64,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { per_call: 0.5, per_second: 1.0, most: 50.0 }
    }
}

/// The budget of one target.
#[derive(Debug)]
pub(crate) struct Budget {
    settings: BudgetSettings,
    saved: Mutex<Saved>,
}

#[derive(Debug)]
struct Saved {
    retries: f64,
    at: Instant,
}

impl Budget {
    pub(crate) fn new(settings: BudgetSettings) -> Self {
        let saved = Mutex::new(Saved { retries: settings.most, at: Instant::now() });
        Self { settings, saved }
    }

    /// Adds what a call adds.
    pub(crate) fn deposit(&self) {
        self.change(self.settings.per_call);
    }

    /// Takes one retry. Returns false if there is none.
    pub(crate) fn withdraw(&self) -> bool {
        self.change(-1.0)
    }

    /// The number of retries that are saved now, with a fraction.
    pub(crate) fn saved(&self) -> f64 {
        self.change(0.0);
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).retries
    }

    /// Adds a number of retries, unless less than none would be left.
    fn change(&self, by: f64) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.duration_since(saved.at).as_secs_f64();
        let grown = passed.mul_add(self.settings.per_second, saved.retries);
        saved.at = now;
        saved.retries = grown.min(self.settings.most);
        let is_covered = saved.retries + by >= 0.0;
        if is_covered {
            saved.retries = (saved.retries + by).min(self.settings.most);
        }
        is_covered
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_grows_with_calls_and_time_up_to_its_limit() {
        let budget = Budget::new(BudgetSettings { per_call: 0.5, per_second: 0.1, most: 2.0 });
        assert!(budget.withdraw() && budget.withdraw() && !budget.withdraw());
        budget.deposit();
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(budget.withdraw() && !budget.withdraw());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(budget.withdraw() && !budget.withdraw());
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!((budget.saved() - 2.0).abs() < 1e-9);
    }
}
