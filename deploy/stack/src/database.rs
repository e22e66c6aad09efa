//! Creates the stack's databases, runs the processes' migration commands, and creates a login role
//! per process in the groups that the migrations define.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use local_servers::finish_async;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::secrets::address;
use crate::settings::{DATABASE, KEYS_DATABASE, Settings};

/// How long one migration may take, even on a large log.
const MIGRATION_LIMIT: Duration = Duration::from_hours(1);

/// Creates and migrates the databases.
pub async fn prepare(settings: &Settings) -> anyhow::Result<()> {
    let owner = address(
        "postgres",
        "postgres",
        &settings.passwords.owner,
        settings.ports.postgres,
        "/postgres",
    );
    let mut server = PgConnection::connect(&owner)
        .await
        .context("cannot connect to the cluster as its owner")?;
    for (name, create) in
        [(DATABASE, "CREATE DATABASE daybook"), (KEYS_DATABASE, "CREATE DATABASE daybook_keys")]
    {
        let exists = sqlx::query_scalar::<_, bool>(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)",
        );
        if !exists.bind(name).fetch_one(&mut server).await? {
            sqlx::query(create)
                .execute(&mut server)
                .await
                .with_context(|| format!("cannot create the database {name}"))?;
        }
    }
    server.close().await?;
    for migration in settings.migrations() {
        run(migration).await?;
    }
    let mut database = PgConnection::connect(&settings.postgres_owner()).await?;
    let passwords = &settings.passwords;
    let roles: [(&str, &SecretString, &[&str]); 6] = [
        (
            "command_api",
            &passwords.command_api,
            &["event_store_appender", "subject_keys_writer", "auth_writer"],
        ),
        ("event_relay", &passwords.event_relay, &["event_store_relay"]),
        (
            "projector",
            &passwords.projector,
            &["event_store_reader", "read_model_owner", "subject_keys_reader"],
        ),
        ("query_api", &passwords.query_api, &["read_model_reader"]),
        (
            "process_manager",
            &passwords.process_manager,
            &["event_store_appender", "subject_keys_reader", "saga_worker"],
        ),
        (
            "webhooks",
            &passwords.webhooks,
            &["event_store_reader", "subject_keys_reader", "webhooks_sender"],
        ),
    ];
    for (role, password, groups) in roles {
        login_role(&mut database, role, password, groups)
            .await
            .with_context(|| format!("cannot create the role {role}"))?;
    }
    sqlx::raw_sql(include_str!("database/grants.sql"))
        .execute(&mut database)
        .await
        .context("the grants failed")?;
    database.close().await?;
    Ok(())
}

/// Creates a login role in these groups, or updates it. Names and passwords cannot be parameters of
/// such statements, so the server quotes them.
async fn login_role(
    database: &mut PgConnection,
    role: &str,
    password: &SecretString,
    groups: &[&str],
) -> Result<(), sqlx::Error> {
    let exists =
        sqlx::query_scalar::<_, bool>("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)");
    let verb = if exists.bind(role).fetch_one(&mut *database).await? { "ALTER" } else { "CREATE" };
    let mut statements = Vec::new();
    let statement = sqlx::query_scalar::<_, String>(
        "SELECT format('%s ROLE %I LOGIN PASSWORD %L', $1, $2, $3)",
    );
    statements.push(
        statement
            .bind(verb)
            .bind(role)
            .bind(password.expose_secret())
            .fetch_one(&mut *database)
            .await?,
    );
    for group in groups {
        let statement = sqlx::query_scalar::<_, String>("SELECT format('GRANT %I TO %I', $1, $2)");
        statements.push(statement.bind(group).bind(role).fetch_one(&mut *database).await?);
    }
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *database).await?;
    }
    Ok(())
}

/// Runs a migration command. Its output is shown only if it fails.
async fn run(command: Command) -> anyhow::Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let output = finish_async(&mut command.into(), MIGRATION_LIMIT).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{words} failed ({}):\n{}",
        output.status,
        said.trim_end()
    );
    Ok(())
}
