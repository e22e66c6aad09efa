//! A workspace outside this one, with its own domain, uses the libraries by dependency alone.
//! `acceptance/outside` is copied out of the tree, tested, and run against real servers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acceptance::program;
use anyhow::{Context, Result, ensure};
use local_servers::{NatsOptions, NatsServer, TestDatabase, finish_async};

use crate::copies::{begin_with_what_is_built, remove_others, write_if_changed};
use crate::readme::{path, root};

/// The limit includes compiling the libraries for it.
const BUILD_LIMIT: Duration = Duration::from_mins(15);
/// The placeholder for the tree's path.
const PLACE: &str = "DAYBOOK";

#[tokio::test]
async fn somebody_elses_workspace_stands_on_the_libraries_by_dependency_alone() -> Result<()> {
    let workspace = Workspace::make()?;
    let nothing = |_| async { Ok(()) };
    let database = TestDatabase::create("outside_test", "empty", nothing).await;
    workspace.cargo("test", &[("LENDING_TEST_DATABASE_URL", database.url())]).await?;

    let database = TestDatabase::create("outside_run", "empty", nothing).await;
    let nats = NatsServer::start(NatsOptions::default()).await?;
    let servers = [("DATABASE_URL", database.url()), ("NATS_URL", &nats.url())];
    let said = workspace.cargo("run", &servers).await?;
    ensure!(said.contains("the book was lent 2 times, for 21 days"), "{said}");
    Ok(())
}

/// The copy, with a separate build.
struct Workspace {
    tree: PathBuf,
    build: PathBuf,
}

impl Workspace {
    fn make() -> Result<Workspace> {
        let stack_tool = program("stack")?;
        let checkout = stack_tool.parent().context("the folder of the programs")?;
        let (from, place) = (root().join("acceptance/outside"), root());
        let place = place.to_str().context("a path that is text")?;
        // Outside the tree, because cargo looks for a workspace and settings in all parent folders.
        let folder =
            std::env::temp_dir().join(format!("daybook-outside{}", place.replace('/', "-")));
        let build = checkout.parent().context("the folder of the build")?.join("outside");
        let workspace = Workspace { tree: folder, build };
        begin_with_what_is_built(checkout, &workspace.build)?;
        // Shared dependencies have the tree's versions.
        let mut files = BTreeSet::from([PathBuf::from("Cargo.lock")]);
        copy(&from, &from, &workspace.tree, place, &mut files)?;
        remove_others(&workspace.tree, &workspace.tree, &files)?;
        let lock = fs::read(root().join("Cargo.lock"))?;
        fs::write(workspace.tree.join("Cargo.lock"), lock)?;
        Ok(workspace)
    }

    /// Runs cargo in the copy, and returns its output.
    async fn cargo(&self, verb: &str, environment: &[(&str, &str)]) -> Result<String> {
        let mut command = tokio::process::Command::new("cargo");
        command.args([verb, "--quiet", "--offline"]).current_dir(&self.tree);
        command.env("PATH", path()?).env("CARGO_TARGET_DIR", &self.build);
        command.envs(environment.iter().copied());
        let since = Instant::now();
        let output = finish_async(&mut command, BUILD_LIMIT).await?;
        eprintln!("`cargo {verb}` took {:.0?}", since.elapsed());
        let (said, log) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "`cargo {verb}`: {}\n{said}\n{log}", output.status);
        Ok(said.into_owned())
    }
}

/// Copies a folder, and puts the tree's path into the manifest.
fn copy(
    folder: &Path,
    from: &Path,
    to: &Path,
    place: &str,
    files: &mut BTreeSet<PathBuf>,
) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            copy(&path, from, to, place, files)?;
            continue;
        }
        let name = path.strip_prefix(from)?;
        let mut text = fs::read_to_string(&path)?;
        if name == Path::new("Cargo.toml") {
            text = text.replace(PLACE, place);
        }
        write_if_changed(&to.join(name), text.as_bytes())?;
        files.insert(name.to_owned());
    }
    Ok(())
}
