//! Checks that the public API of each library matches its `api.txt`, so that no change goes
//! unnoticed. To accept a change: `API=accept cargo test -p stack --test api`.
//!
//! The tree's compiler describes the items in unstable JSON, so another compiler may need another
//! version of the crate that reads it. The lists omit items that the compiler adds by itself.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use local_servers::finish;

/// The libraries that other workspaces depend on.
const LIBRARIES: [&str; 6] =
    ["aggregate", "event-store", "event-feed", "postgres-kit", "projection", "service-kit"];
/// How long the descriptions may take, including building the dependencies.
const LIMIT: Duration = Duration::from_mins(10);
/// The maximum number of differing lines shown per library.
const SHOWN: usize = 40;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// A rustdoc wrapper that may write JSON. It sets the variable only for rustdoc: build scripts also
/// read it and would cause a full rebuild.
fn rustdoc() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let next_to_cargo = Path::new(env!("CARGO")).with_file_name("rustdoc");
    let real = if next_to_cargo.is_file() { next_to_cargo } else { "rustdoc".into() };
    let wrapper = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rustdoc");
    let script = format!("#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec '{}' \"$@\"\n", real.display());
    // Cargo would treat a rewritten file as another rustdoc.
    if std::fs::read_to_string(&wrapper).is_ok_and(|found| found == script) {
        return wrapper;
    }
    std::fs::write(&wrapper, script).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

/// Describes the libraries; returns the folder of the descriptions.
fn described() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // The whole workspace, so that dependencies keep their usual features and are not rebuilt.
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

/// The lines that only one of the two texts contains.
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
