//! The public API of the libraries is the one that each crate's `api.txt` lists, so that no change
//! of it goes unnoticed. To accept a change: `API=accept cargo test -p stack --test api`.
//!
//! The compiler of the tree describes its own items in JSON, which is not stable, so that another
//! compiler may need another version of the crate that reads it. The lists name no item that the
//! compiler adds by itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use local_servers::finish;

/// The libraries that other workspaces stand on.
const LIBRARIES: [&str; 5] =
    ["aggregate", "event-store", "event-feed", "projection", "service-kit"];
/// How long the descriptions may take, with all that they are built on.
const LIMIT: Duration = Duration::from_mins(10);
/// How many differing lines are shown of one library.
const SHOWN: usize = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A rustdoc that may describe items in JSON. The variable that allows it is for rustdoc alone:
/// build scripts ask for it, too, and would have everything built again.
fn rustdoc() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let next_to_cargo = Path::new(env!("CARGO")).with_file_name("rustdoc");
    let real = if next_to_cargo.is_file() { next_to_cargo } else { "rustdoc".into() };
    let wrapper = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc");
    let script = format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{}' \"$@\"\n", real.display());
    // Cargo would take another file for another rustdoc.
    if std::fs::read_to_string(&wrapper).is_ok_and(|found| found == script) {
        return wrapper;
    }
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

/// Describes the libraries, and answers with the folder of the descriptions.
fn described() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // The whole workspace: what they are built on then has the features that it has elsewhere, and
    // is not built again.
    let what = ["doc", "--quiet", "--locked", "--no-deps", "--lib", "--workspace"];
    cargo.args(what).current_dir(root());
    cargo.env("RUSTDOC", rustdoc());
    cargo.env("RUSTDOCFLAGS", "-Zunstable-options --output-format json --cap-lints allow");
    let output = finish(&mut cargo, LIMIT).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("doc")
}

#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let accepts = std::env::var("API").is_ok_and(|value| value == "accept");
    let (descriptions, mut changed) = (described(), Vec::new());
    for library in LIBRARIES {
        let json = descriptions.join(format!("{}.json", library.replace('-', "_")));
        let api = public_api::Builder::from_rustdoc_json(json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .omit_auto_derived_impls(true)
            .build()
            .unwrap();
        let listed = root().join(library).join("api.txt");
        let (found, known) =
            (api.to_string(), std::fs::read_to_string(&listed).unwrap_or_default());
        if accepts {
            std::fs::write(listed, found).unwrap();
        } else if found != known {
            changed.push(format!("{library}:\n{}", difference(&known, &found)));
        }
    }
    assert!(
        changed.is_empty(),
        "the public API is not the one that is listed. If that is meant, run \
         `API=accept cargo test -p stack --test api`, and say in CHANGELOG.md what users must \
         do.\n{}",
        changed.join("\n")
    );
}

/// The lines that one text has and the other lacks.
fn difference(known: &str, found: &str) -> String {
    let only = |these: &str, others: &str, sign: &str| -> Vec<String> {
        let others: std::collections::BTreeSet<&str> = others.lines().collect();
        let these = these.lines().filter(|line| !others.contains(line));
        these.map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only(known, found, "-");
    lines.extend(only(found, known, "+"));
    let more = lines.len().saturating_sub(SHOWN);
    lines.truncate(SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

#[test]
fn a_removed_and_a_changed_item_are_shown() {
    let said = difference("fn a()\nfn b(u8)\n", "fn a()\nfn b(u16)\n");
    assert_eq!(said, "- fn b(u8)\n+ fn b(u16)");
}
