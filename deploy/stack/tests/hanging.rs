//! Checks that a hanging test is ended and named, using the repository's limits with shorter times.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use local_servers::finish;
use stack::{Layout, nextest};

const HANGING: &str = "#[test]\nfn it_hangs() {\n    loop {\n        std::thread::park();\n    \
    }\n}\n\n#[test]\nfn it_ends() {}\n";
/// How long the runner may take, including its build.
const LIMIT: Duration = Duration::from_mins(3);
/// The limits mention this package name. The runner refuses a filter that matches no package.
const MANIFEST: &str =
    "[package]\nname = \"acceptance\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n";

#[test]
fn a_test_that_hangs_is_ended_and_named_under_either_profile() {
    let layout = Layout::find(None).unwrap();
    let limits = fs::read_to_string(layout.root.join(".config/nextest.toml")).unwrap();
    // A limit written in another way would not be shortened, and this test would run into its own
    // limit.
    let shortened = limits
        .replace("\"60s\"", "\"1s\"")
        .replace("\"120s\"", "\"1s\"")
        .replace("\"10m\"", "\"1s\"");
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("Cargo.toml"), MANIFEST);
    write(&folder.path().join("src/lib.rs"), HANGING);
    write(&folder.path().join("limits.toml"), &shortened);
    let runner = nextest::find(&layout).unwrap();
    for profile in ["default", "long"] {
        let mut run = Command::new(&runner);
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("NEXTEST"))
        {
            run.env_remove(name);
        }
        run.args([
            "nextest",
            "run",
            "--offline",
            "--profile",
            profile,
            "--config-file",
            "limits.toml",
        ]);
        let output =
            finish(run.current_dir(folder.path()).env_remove("CARGO_TARGET_DIR"), LIMIT).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(
            said.contains("it_hangs") && said.contains("1 passed") && said.contains("1 timed out"),
            "{profile}: {said}"
        );
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
