//! Load shedding: every refusal is counted, and a log line now and then gives the number. A line
//! per refusal would cost more than the refused work and would rotate important lines out of the
//! log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The window in which the log lines of one kind are limited.
pub const LINE_EVERY: Duration = Duration::from_secs(5);
/// The maximum number of distinct kinds; all others share one.
const MAX_KINDS: usize = 256;
const OTHERS: &str = "others";

const SHED: &str = "requests_shed";

static LINES: LogLimit = LogLimit::new(LINE_EVERY);

/// Counts a refused request or connection under its problem code, and logs it at a limited rate.
pub fn count(code: &str) {
    metrics::counter!(SHED, "code" => code.to_owned()).increment(1);
    if let Some(more) = LINES.admit(code, 1) {
        tracing::warn!(code, unlogged = more, "load is shed");
    }
}

/// Describes the metric.
pub(crate) fn describe() {
    metrics::describe_counter!(
        SHED,
        "Requests and connections refused because of overload, by code"
    );
}

/// Limits how often log lines of one kind are written.
///
/// ```
/// # use service_kit::shed::{LINE_EVERY, LogLimit};
/// static LINES: LogLimit = LogLimit::new(LINE_EVERY);
/// assert_eq!(LINES.admit("store-away", 1), Some(0));
/// assert_eq!(LINES.admit("store-away", 1), None);
/// ```
#[derive(Debug)]
pub struct LogLimit {
    every: Duration,
    kinds: Mutex<BTreeMap<Cow<'static, str>, Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u32,
    unlogged: u64,
}

impl LogLimit {
    /// Creates a limit with windows of this length.
    pub const fn new(every: Duration) -> Self {
        Self { every, kinds: Mutex::new(BTreeMap::new()) }
    }

    /// Admits up to `burst` lines of a kind per window. Returns `None` if the line must be dropped,
    /// or the number of lines dropped since the last one.
    pub fn admit(&self, kind: &str, burst: u32) -> Option<u64> {
        self.admit_at(kind, burst, Instant::now())
    }

    fn admit_at(&self, kind: &str, burst: u32, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind =
            if kinds.len() >= MAX_KINDS && !kinds.contains_key(kind) { OTHERS } else { kind };
        if let Some(window) = kinds.get_mut(kind) {
            return window.admit(burst, now, self.every);
        }
        kinds.insert(Cow::Owned(kind.to_owned()), Window { began: now, lines: 1, unlogged: 0 });
        Some(0)
    }
}

impl Window {
    fn admit(&mut self, burst: u32, now: Instant, every: Duration) -> Option<u64> {
        if now.duration_since(self.began) >= every {
            (self.began, self.lines) = (now, 0);
        }
        if self.lines >= burst {
            self.unlogged += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_so_many_lines_in_a_window_and_the_next_says_how_many_are_missing() {
        let (limit, start) = (LogLimit::new(Duration::from_secs(5)), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(limit.admit_at("a", 2, at(0)), Some(0));
        assert_eq!(limit.admit_at("a", 2, at(10)), Some(0));
        for millis in 20..120 {
            assert_eq!(limit.admit_at("a", 2, at(millis)), None);
        }
        assert_eq!(limit.admit_at("b", 2, at(130)), Some(0), "another kind has its own one");
        assert_eq!(limit.admit_at("a", 2, at(5000)), Some(100));
        assert_eq!(limit.admit_at("a", 2, at(5001)), Some(0));
        assert_eq!(limit.admit_at("a", 2, at(5002)), None);
    }

    #[test]
    fn made_up_kinds_do_not_fill_the_memory() {
        let limit = LogLimit::new(Duration::from_secs(5));
        for number in 0..10 * MAX_KINDS {
            limit.admit(&number.to_string(), 1);
        }
        assert!(limit.kinds.lock().is_ok_and(|kinds| kinds.len() <= MAX_KINDS + 1));
    }
}
