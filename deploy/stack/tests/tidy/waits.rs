//! Tests must not wait forever: each wait in a test or its kit has a limit, or the test fails and
//! names what it awaited.

use super::{none, rust};

/// Files whose waits need no limit, with reasons. Programs that a person watches can be stopped
/// with Ctrl-C.
const ENDLESS_WAITS: &[(&str, &str)] = &[
    ("deploy/servers/src/finish.rs", "makes the limits"),
    ("deploy/servers/src/http.rs", "makes the client with a limit"),
    ("deploy/stack/src/bench.rs", "a bench, watched"),
    ("deploy/stack/src/build.rs", "a build, watched"),
    ("deploy/stack/src/nextest.rs", "a build, watched"),
    ("deploy/stack/src/prepare.rs", "a build, watched"),
    ("deploy/stack/src/supervisor.rs", "for as long as the stack runs"),
    ("deploy/stack/src/supervisor/service.rs", "for as long as the service runs"),
];
/// Calls that wait forever, as they appear in tests and kits, and their replacements.
const ENDLESS: &[(&str, &str)] = &[
    ("reqwest::get(", "local_servers::http_get"),
    ("Client::new()", "local_servers::test_client"),
    ("Client::builder()", "local_servers::loopback_client"),
    (".output()", "local_servers::finish or finish_async"),
    (".wait_with_output().await", "local_servers::in_time"),
    (".wait_with_output()?", "local_servers::end_of"),
    (".wait_with_output().context", "local_servers::end_of"),
    (".wait_with_output().unwrap", "local_servers::end_of"),
    (".wait().await", "local_servers::in_time"),
    (".wait()?", "local_servers::end_of"),
    (".wait().unwrap", "local_servers::end_of"),
    (".status()?", "local_servers::finish"),
    (".status().context", "local_servers::finish"),
    (".status().unwrap", "local_servers::finish"),
    (".status().is_ok", "local_servers::finish"),
    (".status().await", "local_servers::finish_async"),
    (".recv()?", "recv_timeout"),
    (".recv().unwrap", "recv_timeout"),
    (".recv().await", "local_servers::in_time"),
    (".changed().await", "local_servers::in_time"),
    (".notified().await", "local_servers::in_time"),
    (".next().await.unwrap", "local_servers::in_time"),
];

#[test]
fn what_tests_and_their_kits_wait_for_comes_in_time_or_fails_by_name() {
    let kits = ["deploy/", "acceptance/"];
    let mut offences = Vec::new();
    for file in rust().into_iter().filter(|file| file.path != "deploy/stack/tests/tidy/waits.rs") {
        if ENDLESS_WAITS.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        let is_kit = file.is_test() || kits.iter().any(|kit| file.path.starts_with(kit));
        let first = if is_kit { 0 } else { file.without_tests().lines().count() };
        let code = file.text.lines().enumerate().skip(first);
        for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for (wait, instead) in ENDLESS.iter().filter(|(wait, _)| line.contains(wait)) {
                offences.push(format!(
                    "{}:{}: {wait} may wait for ever: {instead}",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    none("each wait of a test says what it awaits, and for how long", offences);
}

/// Growing pauses that are made in another way, with the reasons.
const NO_RETRIES: &[(&str, &str)] = &[
    ("event-feed/src/consumer/held.rs", "the size of a batch"),
    ("nats-kit/src/connection.rs", "the NATS client counts its attempts and asks for each pause"),
    ("event-store/src/postgres/wake.rs", "gathers wake-ups while appends keep coming"),
    ("projection/src/runner/backoff.rs", "counts how long the silent attempt took"),
    ("projection/src/runner/parked.rs", "a time in a table, which no process waits for"),
    ("saga/src/definition.rs", "a time in an event: the same attempt always has the same pause"),
    ("saga/src/runner/judge.rs", "a time in a table, which no process waits for"),
];
/// How a pause that somebody doubles by hand looks.
const DOUBLED: &[&str] = &["* 2).min(", "mul(2).min(", "mul(1 <<", "* 2.0).min("];

/// Whether a line doubles a pause. Sizes of batches and pages are doubled too, up to `MAX_…`.
fn doubles_a_pause(line: &str) -> bool {
    let is_size = line.contains("MAX_BATCH") || line.contains("MAX_PAGE");
    !is_size && DOUBLED.iter().any(|doubled| line.contains(doubled))
}

#[test]
fn retries_share_one_backoff() {
    let mut offences = Vec::new();
    for file in rust().into_iter().filter(|file| !file.is_test()) {
        if NO_RETRIES.iter().any(|(path, _)| *path == file.path) {
            continue;
        }
        for (number, line) in file.without_tests().lines().enumerate() {
            if doubles_a_pause(line) {
                offences.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    none(
        "postgres_kit::Pauses (in the stack: pauses.rs) makes growing pauses, with jitter",
        offences,
    );
    assert!(doubles_a_pause("pause = (pause * 2).min(LONGEST);"));
    assert!(doubles_a_pause("first.saturating_mul(1 << failures.min(16)).min(most)"));
    assert!(!doubles_a_pause("self.most = self.most.saturating_mul(2).min(MAX_BATCH);"));
}
