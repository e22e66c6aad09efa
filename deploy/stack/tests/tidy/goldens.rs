//! Golden events are permanent: an entry that was committed once stays, with the same payload.

use std::collections::BTreeMap;
use std::process::Command;

use local_servers::{PATIENCE, finish};
use serde_json::Value;

use super::{files, none, root};

/// Entries that may differ from what was committed once, with reasons: no event of that version
/// was ever stored outside a test.
const NEVER_STORED: &[(&str, &str)] = &[
    ("saga.step_skipped v1", "nothing ever wrote it"),
    ("saga.parked v1", "it got a field before any process ran a saga"),
];

/// The entries of a golden file by name, such as `letter.sent v1`.
type Entries = BTreeMap<String, Value>;

/// The output of a git command, or `None` if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = finish(Command::new("git").args(arguments).current_dir(root()), PATIENCE).unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// The names of the entries that are gone or have another payload.
fn changed(then: &Entries, now: &Entries) -> Vec<String> {
    let kept = |name: &str, entry: &Value| {
        now.get(name).is_some_and(|entry_now| entry_now["data"] == entry["data"])
    };
    then.iter().filter(|(name, entry)| !kept(name, entry)).map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_golden_event_that_was_committed_once_stays_and_keeps_its_payload() {
    let mut offences = Vec::new();
    for file in files().into_iter().filter(|file| file.path.ends_with("/golden/events.json")) {
        let path = &file.path;
        let now: Entries = serde_json::from_str(&file.text).unwrap();
        // As far as the clone has history.
        let commits = git(&["log", "--format=%H", "--", path]).unwrap_or_default();
        for commit in commits.lines() {
            let Some(text) = git(&["show", &format!("{commit}:{path}")]) else { continue };
            let then: Entries = serde_json::from_str(&text).unwrap();
            let changed = changed(&then, &now).into_iter();
            let changed =
                changed.filter(|name| NEVER_STORED.iter().all(|(never, _)| never != name));
            offences.extend(changed.map(|name| {
                format!("{path}: {name} is not as in {commit}: keep it, and add the next version")
            }));
        }
    }
    none("a golden event is permanent", offences);
}

#[test]
fn an_entry_may_get_more_around_its_payload_but_no_other_payload() {
    let entries = |text| serde_json::from_str::<Entries>(text).unwrap();
    let then = entries(r#"{"a.b v1": {"data": 1}, "a.c v1": {"data": 2}, "a.d v1": {"data": 3}}"#);
    let now = entries(r#"{"a.b v1": {"data": 1, "becomes": []}, "a.c v1": {"data": 7}}"#);
    assert_eq!(changed(&then, &now), ["a.c v1", "a.d v1"]);
}
