//! Schema versions: runs migrations, and refuses a schema that the program does not know.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::connection::Connection;
use crate::sqlstate::{INVALID_SCHEMA_NAME, UNDEFINED_TABLE, has_sqlstate};

/// How long connecting for migrations may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long all migrations may take, including the wait for another process that runs them.
const MIGRATE_LIMIT: Duration = Duration::from_mins(10);

/// A database schema and its migrations, as one program knows them.
#[derive(Debug)]
pub struct Schema {
    name: &'static str,
    /// The table that records the applied migrations.
    table: String,
    migrator: Migrator,
    how: &'static str,
}

/// Why a schema was refused or could not be migrated.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// Postgres failed. Retrying may help.
    #[error("the schema's database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or changed after it was applied.
    #[error("the schema {schema} could not be migrated")]
    Migrate {
        /// The name of the schema.
        schema: &'static str,
        /// The error of the migration runner.
        #[source]
        source: MigrateError,
    },
    /// No migration was applied.
    #[error("the schema {schema} does not exist: run `{how}`")]
    Absent {
        /// The name of the schema.
        schema: &'static str,
        /// The command that creates it.
        how: &'static str,
    },
    /// Migrations are missing.
    #[error(
        "the schema {schema} is older than this program (migration {missing} is missing): run \
            `{how}`"
    )]
    Older {
        /// The name of the schema.
        schema: &'static str,
        /// The version of the first migration that was not applied.
        missing: i64,
        /// The command that applies it.
        how: &'static str,
    },
    /// Migrations were applied that this program does not have.
    #[error(
        "the schema {schema} has migration {migration}, which this program does not know: run a \
            newer program"
    )]
    Newer {
        /// The name of the schema.
        schema: &'static str,
        /// The migration's version, from its file name.
        migration: i64,
    },
    /// An applied migration differs from this program's migration of the same version.
    #[error(
        "migration {migration} of the schema {schema} is another one than this program's: run the \
            program that made it"
    )]
    Changed {
        /// The name of the schema.
        schema: &'static str,
        /// The migration's version, from its file name.
        migration: i64,
    },
}

impl Schema {
    /// The schema `name` with its migrations. `how` is the command that error messages tell people
    /// to run.
    pub fn new(name: &'static str, mut migrator: Migrator, how: &'static str) -> Self {
        let table = format!("{name}._sqlx_migrations");
        migrator.dangerous_set_table_name(table.clone());
        migrator.create_schema(name);
        Self { name, table, migrator, how }
    }

    /// Applies the missing migrations. Running it twice, or concurrently, is safe.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub async fn migrate(&self, options: &PgConnectOptions) -> Result<(), SchemaError> {
        let options = options.clone().application_name(&format!("{} migrate", self.name));
        // On an error the connection is dropped, which also releases its advisory lock.
        let mut connection = Connection::open(&options, CONNECT_LIMIT, MIGRATE_LIMIT).await?;
        connection.run(async |raw: &mut PgConnection| self.migrate_on(raw).await).await?;
        connection.close().await;
        Ok(())
    }

    /// Applies the missing migrations on an existing connection.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub async fn migrate_on(&self, connection: &mut PgConnection) -> Result<(), SchemaError> {
        let migrated = self.migrator.run_direct(None, connection, false).await;
        migrated.map_err(|error| self.failed(error))
    }

    /// Returns a text that identifies the migrations: other migrations give another text. Code that
    /// keeps copies of a schema tells them apart by it.
    pub fn fingerprint(&self) -> String {
        let migrations = self.migrator.iter();
        let named = migrations.map(|known| format!("{}:{:02x?}", known.version, known.checksum));
        named.collect::<Vec<_>>().join(";")
    }

    /// Checks that exactly this program's migrations were applied.
    ///
    /// # Errors
    /// [`SchemaError`], which names the command to run.
    pub async fn check(&self, connection: &mut PgConnection) -> Result<(), SchemaError> {
        let (schema, how) = (self.name, self.how);
        // Not a checked statement, because sqlx's runner creates this table. The table name never
        // comes from input.
        let statement = format!("SELECT version, checksum, success FROM {}", self.table);
        let applied = sqlx::query_as::<_, (i64, Vec<u8>, bool)>(AssertSqlSafe(statement));
        let applied = match applied.fetch_all(connection).await {
            Ok(applied) => applied,
            Err(error) if has_sqlstate(&error, &[UNDEFINED_TABLE, INVALID_SCHEMA_NAME]) => {
                return Err(SchemaError::Absent { schema, how });
            }
            Err(error) => return Err(error.into()),
        };
        let unknown = applied.iter().find(|(version, ..)| !self.migrator.version_exists(*version));
        if let Some((migration, ..)) = unknown {
            return Err(SchemaError::Newer { schema, migration: *migration });
        }
        for known in self.migrator.iter() {
            let migration = known.version;
            match applied.iter().find(|(version, ..)| *version == migration) {
                Some((_, checksum, true)) if *checksum == *known.checksum => {}
                Some((_, _, true)) => return Err(SchemaError::Changed { schema, migration }),
                _ => return Err(SchemaError::Older { schema, missing: migration, how }),
            }
        }
        Ok(())
    }

    fn failed(&self, error: MigrateError) -> SchemaError {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                SchemaError::Database(error)
            }
            source => SchemaError::Migrate { schema: self.name, source },
        }
    }
}
