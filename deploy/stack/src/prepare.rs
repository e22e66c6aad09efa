//! `prepare`: refreshes `.sqlx/`, the checked descriptions of all SQL, so that a build needs no
//! database. It uses the oldest supported PostgreSQL that is installed, and the migration files of
//! the tree. The processes need not compile for it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::SystemTime;

use anyhow::Context;
use local_servers::{ClusterOptions, PostgresCluster};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::choose;
use crate::layout::Layout;
use crate::tree::cargo;

/// The schemas with migrations, each in a folder of the same name.
const SCHEMAS: [&str; 6] =
    ["event_store", "read_model", "auth", "subject_keys", "saga", "webhooks"];

/// Refreshes the descriptions. With `check`, it only reports whether they are up to date.
pub async fn run(layout: &Layout, check: bool) -> anyhow::Result<ExitCode> {
    let binaries = choose::oldest_postgres(layout)?;
    eprintln!("stack: describing all SQL with {}", binaries.bin().display());
    let options = ClusterOptions {
        binaries: Some(binaries),
        directory: Some(layout.servers.clone()),
        ..ClusterOptions::default()
    };
    let cluster =
        PostgresCluster::start(options).await.context("the scratch cluster cannot be started")?;
    migrate(layout, &cluster.url()).await?;
    let fresh = tempfile::tempdir_in(&layout.state).context("no folder for the descriptions")?;
    describe(layout, &cluster.url(), fresh.path())?;
    let (made, kept) = (descriptions(fresh.path())?, descriptions(&layout.root.join(".sqlx"))?);
    anyhow::ensure!(!made.is_empty(), "no checked SQL was found: nothing was changed");
    if check {
        if made == kept {
            eprintln!("stack: all {} descriptions are up to date", made.len());
            return Ok(ExitCode::SUCCESS);
        }
        let stale: Vec<&String> = made
            .iter()
            .filter(|(name, text)| kept.get(*name) != Some(text))
            .map(|(name, _)| name)
            .collect();
        let gone = kept.keys().filter(|name| !made.contains_key(*name)).count();
        eprintln!(
            "stack: {} descriptions are missing or old, {gone} belong to no SQL any more: run \
                `cargo stack prepare`",
            stale.len()
        );
        return Ok(ExitCode::FAILURE);
    }
    replace(&layout.root.join(".sqlx"), &made, &kept)?;
    eprintln!("stack: {} descriptions in .sqlx", made.len());
    Ok(ExitCode::SUCCESS)
}

/// Runs the migrations of the tree in file name order. Statements on a projection's tables are not
/// among the checked ones: a projection's rows are checked when its tables are created.
async fn migrate(layout: &Layout, url: &str) -> anyhow::Result<()> {
    let mut database = PgConnection::connect(url).await?;
    sqlx::raw_sql(
        "CREATE SCHEMA event_store; CREATE SCHEMA read_model; CREATE SCHEMA auth; \
        CREATE SCHEMA subject_keys; CREATE SCHEMA saga; \
        CREATE SCHEMA webhooks",
    )
    .execute(&mut database)
    .await?;
    for schema in SCHEMAS {
        for file in sorted(&layout.root.join("migrations").join(schema), |path| {
            path.extension().is_some_and(|end| end == "sql")
        })? {
            let mut transaction = database.begin().await?;
            run_file(&mut transaction, &file).await?;
            transaction.commit().await?;
        }
    }
    database.close().await?;
    Ok(())
}

async fn run_file(database: &mut PgConnection, file: &Path) -> anyhow::Result<()> {
    let sql =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(database)
        .await
        .with_context(|| format!("{} failed", file.display()))?;
    Ok(())
}

/// Makes the compiler write a description of every checked statement into the folder. It does not
/// notice a changed database, so the root files of all our crates are touched.
#[allow(clippy::disallowed_methods, reason = "a file's time is the machine's")]
fn describe(layout: &Layout, url: &str, folder: &Path) -> anyhow::Result<()> {
    for source in roots(layout)? {
        let touched = File::options()
            .append(true)
            .open(&source)
            .and_then(|file| file.set_modified(SystemTime::now()));
        touched.with_context(|| format!("cannot touch {}", source.display()))?;
    }
    let mut command = cargo(layout);
    command.args(["check", "--quiet", "--locked", "--workspace", "--all-targets"]);
    command.env("SQLX_OFFLINE", "false").env("DATABASE_URL", url).env("SQLX_OFFLINE_DIR", folder);
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cargo cannot be run")?;
    anyhow::ensure!(
        status.success(),
        "the workspace does not compile against the scratch database ({status})"
    );
    Ok(())
}

/// The root files of all targets in the workspace.
fn roots(layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = cargo(layout);
    command.args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let output = command.stdin(Stdio::null()).output().context("cargo cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "cargo metadata failed: {said}");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("cargo's answer cannot be read")?;
    let packages = metadata
        .get("packages")
        .and_then(serde_json::Value::as_array)
        .context("cargo names no packages")?;
    let targets =
        packages.iter().filter_map(|package| package.get("targets")?.as_array()).flatten();
    Ok(targets.filter_map(|target| target.get("src_path")?.as_str().map(PathBuf::from)).collect())
}

/// Reads the descriptions in a folder, by file name. Empty if the folder does not exist.
fn descriptions(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    if !folder.exists() {
        return Ok(BTreeMap::new());
    }
    let files = sorted(folder, |path| path.extension().is_some_and(|end| end == "json"))?;
    let read = files.into_iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Ok((name, text))
    });
    read.collect()
}

fn replace(
    folder: &Path,
    made: &BTreeMap<String, String>,
    kept: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    for gone in kept.keys().filter(|name| !made.contains_key(*name)) {
        crate::layout::remove_file(&folder.join(gone))?;
    }
    for (name, text) in made.iter().filter(|(name, text)| kept.get(*name) != Some(text)) {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn sorted(folder: &Path, wanted: impl Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: Result<Vec<PathBuf>, _> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths: Vec<PathBuf> = paths?.into_iter().filter(|path| wanted(path)).collect();
    paths.sort();
    Ok(paths)
}
