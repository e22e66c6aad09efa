//! The settings for aggregates in memory and for their snapshots.

use std::time::Duration;

use event_store::{CacheLimits, SnapshotPolicy};

/// The limits of the aggregate cache and of snapshots.
///
/// Neither changes an answer. They only avoid reading events again.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct StateArgs {
    /// The maximum number of aggregates in memory; 0 for none.
    #[arg(long, env = "AGGREGATE_CACHE_ENTRIES", value_name = "COUNT",
        default_value_t = CacheLimits::default().states)]
    pub aggregate_cache_entries: usize,
    /// The approximate maximum size of all aggregates in memory, in bytes; 0 for none.
    #[arg(long, env = "AGGREGATE_CACHE_BYTES", value_name = "BYTES",
        default_value_t = CacheLimits::default().bytes)]
    pub aggregate_cache_bytes: usize,
    /// Take a snapshot of a stream after this many events since the last one.
    #[arg(long, env = "SNAPSHOT_EVERY_EVENTS", value_name = "COUNT",
        default_value_t = SnapshotPolicy::default().every,
            value_parser = clap::value_parser!(i64).range(1..))]
    pub snapshot_every_events: i64,
    /// Also take a snapshot if loading a stream took at least this many milliseconds, and it has as
    /// many events since its last snapshot as the next setting requires.
    #[arg(long, env = "SNAPSHOT_SLOW_LOAD_MS", value_name = "MILLISECONDS",
        default_value_t = SLOW_LOAD_MS)]
    pub snapshot_slow_load_ms: u64,
    /// The minimum number of events since the last snapshot before a slow load takes another.
    #[arg(long, env = "SNAPSHOT_SLOW_LOAD_EVENTS", value_name = "COUNT",
        default_value_t = SnapshotPolicy::default().least,
            value_parser = clap::value_parser!(i64).range(1..))]
    pub snapshot_slow_load_events: i64,
}

/// The default of [`SnapshotPolicy::slow`], in milliseconds.
const SLOW_LOAD_MS: u64 = 50;

impl StateArgs {
    /// The limits of the cache.
    pub const fn cache(&self) -> CacheLimits {
        CacheLimits { states: self.aggregate_cache_entries, bytes: self.aggregate_cache_bytes }
    }

    /// The rules for snapshots.
    pub const fn snapshots(&self) -> SnapshotPolicy {
        SnapshotPolicy {
            every: self.snapshot_every_events,
            slow: Duration::from_millis(self.snapshot_slow_load_ms),
            least: self.snapshot_slow_load_events,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;
    use event_store::{CacheLimits, SnapshotPolicy};

    use super::StateArgs;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        states: StateArgs,
    }

    fn parsed(arguments: &[&str]) -> Option<StateArgs> {
        let all = ["program"].iter().chain(arguments);
        Program::try_parse_from(all).ok().map(|program| program.states)
    }

    #[test]
    fn the_defaults_are_those_of_the_library() {
        let args = parsed(&[]).unwrap();
        assert_eq!(
            (args.cache(), args.snapshots()),
            (CacheLimits::default(), SnapshotPolicy::default())
        );
    }

    #[test]
    fn each_limit_has_its_setting() {
        let given = [
            "--aggregate-cache-entries=3",
            "--aggregate-cache-bytes=4000",
            "--snapshot-every-events=7",
        ];
        let args = parsed(
            &[&given[..], &["--snapshot-slow-load-ms=90", "--snapshot-slow-load-events=5"]]
                .concat(),
        )
        .unwrap();
        assert_eq!(args.cache(), CacheLimits { states: 3, bytes: 4_000 });
        let policy = args.snapshots();
        assert_eq!((policy.every, policy.slow.as_millis(), policy.least), (7, 90, 5));
        for wrong in [
            "--snapshot-every-events=0",
            "--snapshot-slow-load-events=-1",
            "--aggregate-cache-bytes=much",
        ] {
            assert!(parsed(&[wrong]).is_none(), "{wrong}");
        }
    }
}
