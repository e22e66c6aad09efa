//! The wake-ups as the process measures them: a histogram in Prometheus format.

use anyhow::{Context as _, ensure};

const BUCKETS: &str = "query_wakeup_duration_seconds_bucket{le=\"";

/// How many wake-ups took at most how long.
#[derive(Debug)]
pub(super) struct Wakeups(Vec<(f64, f64)>);

/// Reads the wake-ups from the metrics of a process.
pub(super) fn wakeups(metrics: &str) -> anyhow::Result<Wakeups> {
    let mut buckets = Vec::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix(BUCKETS)) {
        let (bound, count) = line.split_once("\"} ").with_context(|| line.to_owned())?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
        buckets.push((bound, count.parse()?));
    }
    buckets.sort_by(|(one, _): &(f64, f64), (other, _)| one.total_cmp(other));
    ensure!(buckets.last().is_some_and(|(_, all)| *all > 0.0), "nobody was woken: {metrics}");
    Ok(Wakeups(buckets))
}

impl Wakeups {
    /// The upper bound of a percentile, in milliseconds.
    pub(super) fn percentile(&self, hundredths: u32) -> f64 {
        let all = self.0.last().map_or(0.0, |(_, all)| *all);
        let wanted = all * f64::from(hundredths) / 100.0;
        let bucket = self.0.iter().find(|(_, count)| *count >= wanted);
        bucket.map_or(f64::INFINITY, |(bound, _)| bound * 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; the bounds are exact")]
    use super::*;

    #[test]
    fn a_percentile_is_the_bound_of_the_bucket_that_has_it() {
        let line = |bound: &str, count: u32| format!("{BUCKETS}{bound}\"}} {count}\n");
        let metrics = [line("0.25", 98), line("0.5", 99), line("+Inf", 100)].concat();
        let wakeups = wakeups(&metrics).unwrap();
        let of = [50, 98, 99, 100].map(|hundredths| wakeups.percentile(hundredths));
        assert_eq!(of, [250.0, 250.0, 500.0, f64::INFINITY]);
        assert!(super::wakeups("").is_err());
    }
}
