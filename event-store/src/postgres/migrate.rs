//! The schemas of this crate: making one, and refusing one that this program does not know.

use std::str::FromStr;
use std::time::Duration;

use postgres_kit::Connection;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::error::read_error;
use crate::error::StoreError;

/// How long the connection for migrations may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long all migrations may take, the wait for another process that runs them included.
const MIGRATE_LIMIT: Duration = Duration::from_mins(10);

/// A schema and the migrations that make it.
pub(crate) struct OwnedSchema {
    pub(crate) name: &'static str,
    /// Where it is noted which migrations were run.
    pub(crate) table: &'static str,
    pub(crate) migrator: Migrator,
    /// What people are told to run.
    pub(crate) how: &'static str,
}

fn event_store() -> OwnedSchema {
    const TABLE: &str = "event_store._sqlx_migrations";
    let mut migrator = sqlx::migrate!("../migrations/event_store");
    migrator.dangerous_set_table_name(TABLE);
    migrator.create_schema("event_store");
    OwnedSchema {
        name: "event_store",
        table: TABLE,
        migrator,
        how: "run `command-api migrate event-store`",
    }
}

/// Brings the schema `event_store` of the database up to date. Safe when run twice or at once.
///
/// # Errors
/// [`StoreError::Unavailable`] when Postgres is away, [`StoreError::Unusable`] when the schema is
/// newer than this program.
pub async fn migrate(url: &str) -> Result<(), StoreError> {
    event_store().migrate(url).await
}

/// Names the schema that this program makes: another one, another name. For templates of test
/// databases.
pub fn schema_fingerprint() -> String {
    event_store().fingerprint()
}

/// Refuses a schema `event_store` that is older or newer than this program's migrations.
pub(crate) async fn assert_schema(connection: &mut PgConnection) -> Result<(), StoreError> {
    event_store().check(connection).await
}

impl OwnedSchema {
    /// Brings it up to date.
    pub(crate) async fn migrate(&self, url: &str) -> Result<(), StoreError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| StoreError::Unusable("the database URL cannot be read".into()))?;
        let application_name = format!("{} migrate", self.name);
        let options = options.application_name(&application_name);
        let mut connection =
            Connection::open(&options, CONNECT_LIMIT, MIGRATE_LIMIT).await.map_err(read_error)?;
        // On an error the connection is dropped, and its advisory lock with it.
        let migrated = connection
            .run(async |raw: &mut PgConnection| self.migrator.run_direct(None, raw, false).await);
        migrated.await.map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                read_error(error)
            }
            error => StoreError::Unusable(error.to_string()),
        })?;
        connection.close().await;
        Ok(())
    }

    /// Another schema, another name.
    pub(crate) fn fingerprint(&self) -> String {
        self.migrator
            .iter()
            .map(|m| format!("{}:{:02x?}", m.version, m.checksum))
            .collect::<Vec<_>>()
            .join(";")
    }

    /// Refuses it when it is older or newer than the migrations.
    pub(crate) async fn check(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let Self { name, table, migrator, how } = self;
        let applied = match connection.list_applied_migrations(table).await {
            Ok(applied) => applied,
            Err(MigrateError::Execute(error)) if is_undefined_table(&error) => {
                return Err(StoreError::Unusable(format!("the schema {name} is not there: {how}")));
            }
            Err(MigrateError::Execute(error)) => return Err(read_error(error)),
            Err(error) => return Err(StoreError::Unusable(error.to_string())),
        };
        for migration in migrator.iter() {
            let found = applied.iter().find(|a| a.version == migration.version);
            match found {
                None => {
                    return Err(StoreError::Unusable(format!(
                        "migration {} is missing: {how}",
                        migration.version
                    )));
                }
                Some(found) if found.checksum != migration.checksum => {
                    return Err(StoreError::Unusable(format!(
                        "migration {} is another one than this program's",
                        migration.version
                    )));
                }
                Some(_) => {}
            }
        }
        match applied.iter().find(|a| !migrator.version_exists(a.version)) {
            Some(newer) => Err(StoreError::Unusable(format!(
                "the schema {name} has migration {}, which this program does not know: run a \
                    newer program",
                newer.version
            ))),
            None => Ok(()),
        }
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    // 42P01 undefined table, 3F000 undefined schema
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|c| c == "42P01" || c == "3F000")
}
