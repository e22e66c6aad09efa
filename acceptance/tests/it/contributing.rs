//! Checks CONTRIBUTING: the test follows its walkthrough to the letter in a copy of the tree,
//! starts the result and uses it. Then it follows the page to a second version of an event, puts
//! that into service, adds a version of an existing event, and runs the copy's tests of all
//! projections, aggregates, versions and lists, or with `--long` all tests.
//!
//! The copy and its build stay next to the checkout's own build, so that a second run compiles
//! little. The build starts with links to the compiled dependencies.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acceptance::{Endpoints, enterable_folder, program};
use anyhow::{Context, Result, ensure};
use local_servers::{PATIENCE, finish, finish_async, http_get, test_run};

use crate::copies::{begin_with_what_is_built, remove_others, touch_all, write_if_changed};
use crate::readme::{path, root};

mod live;
mod page;
mod used;
mod versions;

/// The sections of the page that add an aggregate, an endpoint and a projection.
const FIRST: &[&str] = &["How to add an aggregate, an endpoint and a projection"];
/// The section that adds a detail route and a list.
const QUERY: &[&str] = &["How to add a query"];
/// The section that adds a second version of an event.
const SECOND_VERSION: &[&str] = &["How to change an event"];
/// The section that adds live updates.
const LIVE: &[&str] = &["How to add live updates"];
/// The maximum number of files that the page promises for the first sections, for all but live
/// updates, and for these.
const MAX_FILES: (usize, usize, usize) = (10, 20, 5);
/// The limit includes compiling the copy.
const BUILD_LIMIT: Duration = Duration::from_mins(20);
/// How long the copy's whole suite may take.
const SUITE_LIMIT: Duration = Duration::from_hours(1);
/// The test modules that cover every projection, aggregate or version. They are in the projector's
/// tests (including crash, rebuild and verification of each projection) and in the command API's.
/// Those from `lists::` to `links::` are the query API's: they cover every list, row, filter and
/// statement. `access::` and `openapi::` cover every operation of both. `coupons::` has the page's
/// own tests.
const ENUMERATING: [&str; 16] = [
    "access::",
    "evolution::",
    "expected::",
    "projections::",
    "round_trip::",
    "generation::migrating",
    "verify::p7_",
    "rebuild::p7_",
    "crash::p6_",
    "shares::p6_parts_move",
    "lists::",
    "plans::",
    "links::every_link",
    "openapi::",
    "values::",
    "coupons::",
];

#[tokio::test]
async fn a_resource_of_ones_own_takes_at_most_twenty_files_and_works() -> Result<()> {
    let copy = Copy::of_the_tree()?;
    let page = fs::read_to_string(root().join("CONTRIBUTING.md"))?;
    let mut changed = page::follow(&page, FIRST, &copy.tree)?;
    at_most(MAX_FILES.0, &changed)?;
    changed.extend(page::follow(&page, QUERY, &copy.tree)?);
    copy.formatted(&changed).await?;
    let live = page::follow(&page, LIVE, &copy.tree)?;
    at_most(MAX_FILES.2, &live.difference(&changed).cloned().collect())?;
    copy.formatted(&live).await?;
    copy.accept_schemas().await?;
    copy.stack(&["up", "--detach"]).await?;
    let used = async {
        let endpoints = Endpoints::read(&copy.state())?;
        let first = used::use_it(&endpoints).await?;
        edit_loop(&copy, &endpoints).await?;
        changed.extend(page::follow(&page, SECOND_VERSION, &copy.tree)?);
        at_most(MAX_FILES.1, &changed)?;
        copy.formatted(&changed).await?;
        copy.accept_schemas().await?;
        second_version(&copy, &first).await
    };
    let used = used.await;
    copy.stack(&["down"]).await?;
    used?;
    versions::change(&copy.tree)?;
    copy.accept_schemas().await?;
    copy.suite(test_run().count(0, 1) == 1).await
}

fn at_most(maximum: usize, changed: &BTreeSet<String>) -> Result<()> {
    let count = changed.len();
    ensure!((1..=maximum).contains(&count), "{count} files, the page says {maximum}: {changed:?}");
    eprintln!("{count} files are made or changed, at most {maximum} may be");
    Ok(())
}

/// Puts the second version into service, readers first, and uses it next to the first one.
async fn second_version(copy: &Copy, first: &str) -> Result<()> {
    copy.run(OsStr::new("cargo"), &["build", "--bin", "projector"]).await?;
    copy.stack(&["run", "projector", "rebuild", "coupons"]).await?;
    copy.stack(&["restart", "projector"]).await?;
    copy.stack(&["restart", "command-api"]).await?;
    used::use_second_version(&Endpoints::read(&copy.state())?, first).await
}

/// The arguments that run the processes' tests whose names begin with one of these. The features
/// are those of the whole suite, so that its build is reused.
fn tests_of_the_processes(names: &[&'static str]) -> Vec<&'static str> {
    let mut words = vec!["test", "--quiet", "--locked", "--features", "event-store/test-kit"];
    words.extend(["--package", "projector", "--package", "command-api"]);
    words.extend(["--package", "query-api", "--test", "it", "--", "--test-threads", "2"]);
    words.extend(names);
    words
}

/// Changes one line of a handler, and sees the change in the running process's answer.
async fn edit_loop(copy: &Copy, endpoints: &Endpoints) -> Result<()> {
    const BEFORE: &str = "The coupon is issued\"";
    const AFTER: &str = "The coupon can be used\"";
    let file = holding(&copy.tree.join("command-api/src"), BEFORE)?;
    let file = file.context("no handler describes the answer to an issued coupon")?;
    let handler = fs::read_to_string(&file)?;
    let since = Instant::now();
    fs::write(&file, handler.replace(BEFORE, AFTER))?;
    copy.stack(&["restart", "command-api"]).await?;
    let shown = http_get(format!("{}/openapi.json", endpoints.command_api)).await?;
    let shown = shown.text().await?;
    eprintln!("from saving one line to its answer: {:.1} s", since.elapsed().as_secs_f64());
    ensure!(shown.contains(AFTER), "the restarted process is not the one that was edited");
    fs::write(&file, handler)?;
    Ok(())
}

/// Finds the file in a folder that contains a text.
fn holding(folder: &Path, text: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = holding(&path, text)? {
                return Ok(Some(found));
            }
        } else if fs::read_to_string(&path)?.contains(text) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// A copy of what git would commit, with a separate build and stack.
struct Copy {
    tree: PathBuf,
    build: PathBuf,
    stack: tempfile::TempDir,
}

impl Copy {
    fn of_the_tree() -> Result<Copy> {
        let stack_tool = program("stack")?;
        let build = stack_tool.parent().context("the folder of the programs")?;
        let folder = build.parent().context("the folder of the build")?.join("contributing");
        let copy = Copy {
            tree: folder.join("tree"),
            build: folder.join("build"),
            stack: enterable_folder()?,
        };
        let mut git = std::process::Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root());
        let listed = finish(&mut git, PATIENCE)?;
        ensure!(
            listed.status.success(),
            "git cannot list the tree: {}",
            String::from_utf8_lossy(&listed.stderr)
        );
        let listed = String::from_utf8(listed.stdout)?;
        let files: BTreeSet<PathBuf> = listed
            .split_terminator('\0')
            .map(PathBuf::from)
            .filter(|file| root().join(file).is_file())
            .collect();
        fs::create_dir_all(&copy.tree)?;
        remove_others(&copy.tree, &copy.tree, &files)?;
        for file in &files {
            write_if_changed(&copy.tree.join(file), &fs::read(root().join(file))?)?;
        }
        begin_with_what_is_built(build, &copy.build)?;
        Ok(copy)
    }

    /// Formats the copy, and checks that the page's files were formatted already.
    async fn formatted(&self, files: &BTreeSet<String>) -> Result<()> {
        let read = || -> Result<Vec<String>> {
            files.iter().map(|file| Ok(fs::read_to_string(self.tree.join(file))?)).collect()
        };
        let written = read()?;
        self.run(OsStr::new("cargo"), &["fmt", "--all"]).await?;
        let differ = files.iter().zip(written.iter().zip(read()?));
        let differ: Vec<&String> =
            differ.filter(|(_, (before, after))| *before != after).map(|(file, _)| file).collect();
        ensure!(differ.is_empty(), "`cargo fmt` changes what the page writes into {differ:?}");
        Ok(())
    }

    fn state(&self) -> PathBuf {
        self.stack.path().join(".stack")
    }

    async fn stack(&self, arguments: &[&str]) -> Result<()> {
        let mut words = vec!["stack"];
        words.extend(arguments);
        self.run(OsStr::new("cargo"), &words).await
    }

    /// Writes the schemas of new event versions, as the page says.
    async fn accept_schemas(&self) -> Result<()> {
        let words = ["test", "--quiet", "--locked", "--package", "domain", "--lib", "schemas"];
        let accept = [("SCHEMAS", "accept")];
        self.run_with(OsStr::new("cargo"), &words, BUILD_LIMIT, &accept).await
    }

    /// Runs the copy's tests: the whole suite except this test, or those that enumerate.
    async fn suite(&self, whole: bool) -> Result<()> {
        let cargo = OsStr::new("cargo");
        if whole {
            // Test programs know the folder that they were built in. Those of the original would
            // test and build the original.
            touch_all(&self.tree)?;
            let but_this = "not (package(acceptance) & test(contributing))";
            let words = ["stack", "test", "--", "-E", but_this];
            self.run_within(cargo, &words, SUITE_LIMIT).await?;
            return self.freeze().await;
        }
        self.run(cargo, &["test", "--quiet", "--locked", "--package", "domain", "--lib"]).await?;
        self.run(cargo, &tests_of_the_processes(&ENUMERATING)).await?;
        self.freeze().await
    }

    /// Freezes the answers of the new operations, as the page says, and compares them.
    async fn freeze(&self) -> Result<()> {
        let files = || -> Result<usize> {
            Ok(fs::read_dir(self.tree.join("command-api/tests/it/golden/v1"))?.count())
        };
        let cargo = OsStr::new("cargo");
        let words = tests_of_the_processes(&["contract::the_answers_of_version_1_are_frozen"]);
        let before = files()?;
        self.run_with(cargo, &words, BUILD_LIMIT, &[("UPDATE_GOLDEN", "1")]).await?;
        ensure!(files()? > before, "the new operations have no golden files");
        self.run(cargo, &words).await
    }

    /// Runs a command in the copy, as a reader would.
    async fn run(&self, program: &OsStr, arguments: &[&str]) -> Result<()> {
        self.run_within(program, arguments, BUILD_LIMIT).await
    }

    async fn run_within(&self, program: &OsStr, arguments: &[&str], limit: Duration) -> Result<()> {
        self.run_with(program, arguments, limit, &[]).await
    }

    async fn run_with(
        &self,
        program: &OsStr,
        arguments: &[&str],
        limit: Duration,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).current_dir(&self.tree);
        command.env("PATH", path()?).env("CARGO_TARGET_DIR", &self.build);
        command.env("STACK_PROFILE", "dev").env("STACK_DIR", self.state());
        // The copy's tests use the servers of this run.
        command.env("DAYBOOK_TEST_PROGRAMS", self.build.join("debug"));
        command.env("DAYBOOK_TEST_COUNT", "short").envs(settings.iter().copied());
        let shown = arguments.join(" ");
        let since = Instant::now();
        let output = finish_async(&mut command, limit).await?;
        eprintln!("`cargo {shown}` took {:.0?}", since.elapsed());
        let (said, log) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "`cargo {shown}`: {}\n{said}\n{log}", output.status);
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // After a failure, something may still be running.
        if self.state().join("endpoints.json").exists()
            && let Ok(tool) = program("stack")
        {
            let mut down = std::process::Command::new(tool);
            let down = finish(down.arg("--dir").arg(self.state()).arg("down"), PATIENCE);
            eprintln!("the copy's stack was still running: {down:?}");
        }
    }
}
