//! Erases a person's data from the running system. Nothing of it is left in any table, in any file
//! of the stream, or in a log that is restored from a backup afterwards.

use std::path::Path;
use std::time::Duration;

use acceptance::{Answer, Client, Launched, until};
use anyhow::{Context, Result, ensure};
use event_store::erasure::{prove, reconcile};
use event_store::postgres::PostgresKeys;
use event_store::{PostgresOptions, PostgresStore};
use local_servers::{PostgresBinaries, finish, finish_async};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

const LIMIT: Duration = Duration::from_mins(1);
/// The values of the erased person. Nothing else in the system contains these letters.
const CANARIES: [&str; 4] = ["canary-one", "canary-two", "Canarina", "Canarella"];
/// A value that stays, to prove that the searches look in the right places.
const STAYS: &str = "Bobolink";

#[tokio::test]
async fn p7_an_erased_person_is_in_no_table_no_file_and_no_restored_backup() -> Result<()> {
    let mut system = Launched::start().await?;
    let (client, log) = (system.client()?, system.log()?);
    let erased = register(&client, "canary-one@example.com", "Canarina").await?;
    let stays = register(&client, "bob@example.com", STAYS).await?;
    let path = format!("/api/v1/users/{}", erased.id()?);
    rename(&client, &path, "Canarella", "canary-two@example.com").await?;
    log.wait_until_caught_up(LIMIT).await?;

    let backup = tempfile::tempdir()?;
    let dump = backup.path().join("log.sql");
    dump_log(&system, &dump)?;
    erase(&system, erased.id()?).await?;
    blanked(&client, &path).await?;
    log.wait_until_caught_up(LIMIT).await?;
    refused(&client, &path).await?;

    let before = rows(&system.read_model.url()).await?;
    start_over(&system).await?;
    log.wait_until_caught_up(LIMIT).await?;
    assert_eq!(
        rows(&system.read_model.url()).await?,
        before,
        "rows rebuilt equal the rows erased live"
    );

    let restored = restore_log(&system, &dump).await?;
    erased_again_in(&restored, &system.subject_keys(), erased.id()?).await?;
    in_no_table(&system, restored).await?;
    in_no_file(&mut system, backup.path(), stays.id()?).await?;

    let heir = json!({"email": "canary-two@example.com", "name": "Heir"});
    client.post("/api/v1/users", &heir).await?.expect(StatusCode::CREATED)?;
    Ok(())
}

/// Changes name and email address, and waits until the query API shows the new ones.
async fn rename(client: &Client, path: &str, name: &str, email: &str) -> Result<()> {
    let change = json!({"name": name, "email": email});
    let changed =
        client.command(Method::PATCH, path, Some(&change), &[]).await?.expect(StatusCode::OK)?;
    let shown = client.get_after(path, &changed).await?.expect(StatusCode::OK)?;
    assert_eq!((&shown.data()["name"], &shown.data()["email"]), (&json!(name), &json!(email)));
    Ok(())
}

/// Erases the person with the operator command. The proof is complete, and a second request changes
/// nothing.
async fn erase(system: &Launched, person: &str) -> Result<()> {
    let proof = system.operate(&["erase-subject", person, "--by", "ops-1", "--json"]).await?;
    let proof: Value = serde_json::from_str(&proof)?;
    assert_eq!(
        (&proof["key_destroyed"], &proof["reservations_released"], &proof["reservations_left"]),
        (&json!(true), &json!(1), &json!(0))
    );
    assert_eq!(
        (&proof["search"]["encrypted"], &proof["search"]["readable"]),
        (&json!(4), &json!([]))
    );
    let again = system.operate(&["erase-subject", person, "--by", "ops-2"]).await?;
    assert!(
        again.contains("complete") && again.contains("ops-1") && !again.contains("ops-2"),
        "{again}"
    );
    Ok(())
}

/// Reconciles a log that was restored from an earlier backup with the ledger of erasures, which
/// erases the person there too.
async fn erased_again_in(restored: &str, subject_keys: &str, person: &str) -> Result<()> {
    let store = PostgresStore::connect(PostgresOptions::from_url(restored)?).await?;
    let keys = PostgresKeys::connect(subject_keys, "acceptance").await?;
    assert_eq!(reconcile(&store, &keys).await?.told, 1, "the backup does not know the erasure");
    let proof = prove(&store, &keys, person.parse()?).await?;
    ensure!(proof.holds() && proof.reservations_released == 2, "{proof}");
    Ok(())
}

/// Checks that no table of any database contains a value of the erased person.
async fn in_no_table(system: &Launched, restored: String) -> Result<()> {
    let databases =
        [system.event_store.url(), restored, system.read_model.url(), system.subject_keys()];
    for database in &databases {
        assert_eq!(found_in_tables(database, &CANARIES).await?, Vec::<String>::new(), "{database}");
    }
    let shown = found_in_tables(&system.read_model.url(), &[STAYS]).await?;
    assert!(
        shown.iter().any(|table| table.starts_with("users_g")),
        "the search finds what is there: {shown:?}"
    );
    Ok(())
}

/// Checks that neither the stream's files nor the backup contain a value of the erased person. The
/// nats-server is stopped meanwhile, so that its files are complete.
async fn in_no_file(system: &mut Launched, backup: &Path, stays: &str) -> Result<()> {
    system.nats.stop().await;
    assert_eq!(found_in_files(&system.nats.store(), &CANARIES)?, Vec::<String>::new());
    ensure!(
        !found_in_files(&system.nats.store(), &[stays])?.is_empty(),
        "the search reads the stream's files"
    );
    assert_eq!(
        found_in_files(backup, &CANARIES)?,
        Vec::<String>::new(),
        "the backup of the log does not have them either"
    );
    system.nats.start_again().await;
    Ok(())
}

async fn register(client: &Client, email: &str, name: &str) -> Result<Answer> {
    client
        .post("/api/v1/users", &json!({"email": email, "name": name}))
        .await?
        .expect(StatusCode::CREATED)
}

/// Waits until the query API shows the user without name and email address.
async fn blanked(client: &Client, path: &str) -> Result<()> {
    until("name and address are gone", LIMIT, async || {
        let user = client.get(path).await?.expect(StatusCode::OK)?;
        Ok((user.data()["name"].is_null() && user.data()["email"].is_null()).then_some(()))
    })
    .await
}

/// Waits until the command API knows of the erasure and refuses values of the erased person.
async fn refused(client: &Client, path: &str) -> Result<()> {
    until("changes are refused", LIMIT, async || {
        let answer =
            client.command(Method::PATCH, path, Some(&json!({"name": "Canarella"})), &[]).await?;
        Ok((answer.code() == Some("user/erased")).then_some(()))
    })
    .await
}

fn dump_log(system: &Launched, to: &Path) -> Result<()> {
    let mut command = PostgresBinaries::of_test_run()?.command("pg_dump");
    let ended = finish(command.arg("--file").arg(to).arg(system.event_store.url()), LIMIT)?;
    ensure!(ended.status.success(), "pg_dump: {ended:?}");
    Ok(())
}

/// Restores the dump to a separate database.
async fn restore_log(system: &Launched, dump: &Path) -> Result<String> {
    let mut admin = PgConnection::connect(&system.event_store.url()).await?;
    sqlx::query("CREATE DATABASE restored").execute(&mut admin).await?;
    admin.close().await?;
    let url = system.event_store.url();
    let url = format!(
        "{}/restored",
        url.strip_suffix("/postgres").context("the cluster's first database")?
    );
    let mut command = PostgresBinaries::of_test_run()?.command("psql");
    let words = ["-qX", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", &url, "-f"];
    let ended = finish(command.args(words).arg(dump), LIMIT)?;
    ensure!(ended.status.success(), "psql: {ended:?}");
    Ok(url)
}

/// Projects the users again from the first event.
async fn start_over(system: &Launched) -> Result<()> {
    let mut command = tokio::process::Command::new(acceptance::program("projector")?);
    command.args(["start-over", "users", "--yes"]).env("READ_MODEL_URL", system.read_model.url());
    let output = finish_async(&mut command, LIMIT).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn rows(read_model: &str) -> Result<Value> {
    let mut database = PgConnection::connect(read_model).await?;
    let rows = "SELECT jsonb_agg(to_jsonb(u) ORDER BY id) FROM read_model.users AS u";
    Ok(sqlx::query_scalar(rows).fetch_one(&mut database).await?)
}

/// The tables of a database that contain one of these texts, as text or as bytes.
async fn found_in_tables(url: &str, texts: &[&str]) -> Result<Vec<String>> {
    let mut database = PgConnection::connect(url).await?;
    let tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname \
        NOT IN ('pg_catalog', 'information_schema')";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut database).await?;
    ensure!(tables.len() > 3, "{url} has tables to search");
    let mut found = Vec::new();
    for table in tables {
        // The server quoted the name.
        let search = AssertSqlSafe(format!(
            "SELECT count(*) FROM {table} AS t, unnest($1::text[]) AS wanted
             WHERE strpos(t::text, wanted) > 0 OR strpos(t::text, encode(convert_to(wanted, \
             'UTF8'), 'hex')) > 0"
        ));
        let count: i64 = sqlx::query_scalar(search).bind(texts).fetch_one(&mut database).await?;
        if count > 0 {
            found.push(table);
        }
    }
    Ok(found)
}

/// The files in a folder tree that contain one of these texts.
fn found_in_files(folder: &Path, texts: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(found_in_files(&path, texts)?);
            continue;
        }
        let bytes =
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        if texts
            .iter()
            .any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}
