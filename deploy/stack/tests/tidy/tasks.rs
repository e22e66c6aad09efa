//! A hung task cannot report itself. So each task that a process starts is listed here with its
//! watcher.

use super::{RUNNING, none, rust};

/// How a hung task is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noticed {
    /// Readiness notices, through a pulse.
    Pulse,
    /// The caller notices: it waits for the task, or acts by itself when the task is late.
    Caller,
    /// Nothing needs to notice: the task is only an optimisation, and its result is also polled.
    Hint,
    /// Nothing needs to notice: the task ends within a limit, or only computes as long as the
    /// process lives.
    Bounded,
}

/// The files that start tasks, the number of tasks, and how a hung one is noticed.
const TASKS: &[(&str, usize, Noticed)] = &[
    ("command-api/src/application/command.rs", 1, Noticed::Caller),
    ("command-api/src/application/command/together.rs", 1, Noticed::Caller),
    ("command-api/src/auth/administrators.rs", 1, Noticed::Bounded),
    ("event-feed/src/follower/live.rs", 2, Noticed::Hint),
    ("event-feed/src/relay/wake.rs", 1, Noticed::Hint),
    ("event-store/src/encrypting_store.rs", 1, Noticed::Hint),
    ("event-store/src/encryption/vault/waiting.rs", 1, Noticed::Pulse),
    ("event-store/src/pages.rs", 1, Noticed::Caller),
    ("event-store/src/postgres.rs", 1, Noticed::Pulse),
    ("event-store/src/postgres/batch.rs", 1, Noticed::Pulse),
    ("event-store/src/postgres/batch/sender.rs", 1, Noticed::Bounded),
    ("event-store/src/postgres/tails.rs", 1, Noticed::Caller),
    ("event-store/src/postgres/wake.rs", 1, Noticed::Hint),
    ("event-store/src/state/keeper.rs", 1, Noticed::Pulse),
    ("front/src/socket.rs", 1, Noticed::Bounded),
    ("postgres-kit/src/lease/keeper.rs", 1, Noticed::Caller),
    ("postgres-kit/src/pool.rs", 1, Noticed::Bounded),
    ("postgres-kit/src/warm.rs", 2, Noticed::Bounded),
    ("projection/src/operation/attend.rs", 1, Noticed::Caller),
    ("projection/src/operation/executor.rs", 1, Noticed::Pulse),
    ("projection/src/ops/rebuild/keeper.rs", 1, Noticed::Caller),
    ("projection/src/replay.rs", 1, Noticed::Caller),
    ("projection/src/runner/dispatch.rs", 3, Noticed::Caller),
    ("projection/src/runner/pulse.rs", 1, Noticed::Pulse),
    ("projection/src/runner/slot.rs", 2, Noticed::Caller),
    ("projection/src/runner/slot/confirm.rs", 1, Noticed::Caller),
    ("projection/src/runner/slot/end.rs", 1, Noticed::Caller),
    ("projection/src/runner/slot/take.rs", 1, Noticed::Caller),
    ("projection/src/ops/verify/background.rs", 1, Noticed::Pulse),
    ("query-api/src/graphql/socket.rs", 2, Noticed::Caller),
    ("query-api/src/read/export.rs", 1, Noticed::Bounded),
    ("query-api/src/read/finish.rs", 1, Noticed::Bounded),
    ("query-api/src/read/snapshot.rs", 1, Noticed::Caller),
    ("saga/src/runner/executor.rs", 1, Noticed::Bounded),
    ("service-kit/src/http/refuse.rs", 1, Noticed::Bounded),
    ("service-kit/src/http/serve.rs", 4, Noticed::Caller),
    ("service-kit/src/http/streams.rs", 1, Noticed::Caller),
    ("service-kit/src/process.rs", 1, Noticed::Caller),
    ("service-kit/src/telemetry.rs", 1, Noticed::Bounded),
];

/// The number of calls in a line that start a task on the runtime.
fn starts(line: &str) -> usize {
    let is_comment = line.trim_start().starts_with("//");
    if is_comment {
        0
    } else {
        line.matches("tokio::spawn(").count() + line.matches("tasks.spawn(").count()
    }
}

#[test]
fn every_task_that_a_process_starts_is_missed_by_somebody_when_it_hangs() {
    let mut offences = Vec::new();
    let ours =
        |path: &str| RUNNING.iter().chain(&["postgres-kit/"]).any(|part| path.starts_with(part));
    for file in rust().into_iter().filter(|file| ours(&file.path) && !file.is_test()) {
        let found: usize = production(file.without_tests()).map(starts).sum();
        match TASKS.iter().find(|(path, ..)| *path == file.path) {
            None if found == 0 => {}
            None => {
                offences
                    .push(format!("{}: starts {found}: who notices when one hangs?", file.path));
            }
            Some((_, listed, _)) if *listed != found => {
                offences.push(format!("{}: starts {found}, listed are {listed}", file.path));
            }
            Some((_, _, Noticed::Pulse)) if !file.text.to_lowercase().contains("pulse") => {
                offences.push(format!("{}: has no pulse", file.path));
            }
            Some(_) => {}
        }
    }
    for (path, ..) in TASKS {
        if !rust().iter().any(|file| file.path == *path) {
            offences.push(format!("{path}: is listed and is not there"));
        }
    }
    none("a task that hangs is missed: it has a pulse, or somebody waits for it", offences);
}

/// The lines of a file without test-only items.
fn production(text: &str) -> impl Iterator<Item = &str> {
    let mut skipped = 0_usize;
    text.lines().filter(move |line| {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == "#[cfg(test)]" {
            skipped = indent + 1;
            return false;
        }
        let inside = skipped > 0;
        // The item ends with a brace that has the same indentation as its attribute.
        if inside && indent + 1 == skipped && matches!(line.trim(), "}" | "};") {
            skipped = 0;
        }
        !inside
    })
}
