//! A schema and the migrations that make it: bringing it up to date, and refusing one that a
//! program does not know.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::connection::Connection;
use crate::sqlstate::{INVALID_SCHEMA_NAME, UNDEFINED_TABLE, has_sqlstate};

/// How long the connection for migrations may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long all migrations may take, the wait for another process that runs them included.
const MIGRATE_LIMIT: Duration = Duration::from_mins(10);

/// A schema of a database, as one program knows it.
#[derive(Debug)]
pub struct Schema {
    name: &'static str,
    /// Where it is noted which migrations were run.
    table: String,
    migrator: Migrator,
    how: &'static str,
}

/// Why a schema is refused, or could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// As Postgres says; another try may be worth it.
    #[error("the schema's database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed, or was changed after it ran.
    #[error("the schema {schema} could not be migrated")]
    Migrate {
        /// The schema's name.
        schema: &'static str,
        /// What the migrations' runner says.
        #[source]
        source: MigrateError,
    },
    /// No migration has run.
    #[error("the schema {schema} is not there: run `{how}`")]
    Absent {
        /// The schema's name.
        schema: &'static str,
        /// The command that makes it.
        how: &'static str,
    },
    /// Migrations are missing.
    #[error(
        "the schema {schema} is older than this program (migration {missing} is missing): run \
            `{how}`"
    )]
    Older {
        /// The schema's name.
        schema: &'static str,
        /// The first migration that has not run.
        missing: i64,
        /// The command that brings it up to date.
        how: &'static str,
    },
    /// Migrations ran that this program does not have.
    #[error(
        "the schema {schema} has migration {migration}, which this program does not know: run a \
            newer program"
    )]
    Newer {
        /// The schema's name.
        schema: &'static str,
        /// The version of the migration, from its file's name.
        migration: i64,
    },
    /// A migration that ran is not the one that this program has.
    #[error(
        "migration {migration} of the schema {schema} is another one than this program's: run the \
            program that made it"
    )]
    Changed {
        /// The schema's name.
        schema: &'static str,
        /// The version of the migration, from its file's name.
        migration: i64,
    },
}

impl Schema {
    /// The schema of this name that these migrations make. `how` is the command that people are
    /// told to run.
    pub fn new(name: &'static str, mut migrator: Migrator, how: &'static str) -> Self {
        let table = format!("{name}._sqlx_migrations");
        migrator.dangerous_set_table_name(table.clone());
        migrator.create_schema(name);
        Self { name, table, migrator, how }
    }

    /// Brings it up to date. Safe when run twice or at once.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn migrate(&self, options: &PgConnectOptions) -> Result<(), SchemaError> {
        let options = options.clone().application_name(&format!("{} migrate", self.name));
        // On an error the connection is dropped, and its advisory lock with it.
        let mut connection = Connection::open(&options, CONNECT_LIMIT, MIGRATE_LIMIT).await?;
        connection.run(async |raw: &mut PgConnection| self.migrate_on(raw).await).await?;
        connection.close().await;
        Ok(())
    }

    /// Brings it up to date on a connection at hand.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn migrate_on(&self, connection: &mut PgConnection) -> Result<(), SchemaError> {
        let migrated = self.migrator.run_direct(None, connection, false).await;
        migrated.map_err(|error| self.failed(error))
    }

    /// Names what the migrations make: another schema, another name. For those who keep copies.
    pub fn fingerprint(&self) -> String {
        let migrations = self.migrator.iter();
        let named = migrations.map(|known| format!("{}:{:02x?}", known.version, known.checksum));
        named.collect::<Vec<_>>().join(";")
    }

    /// Checks that exactly the migrations that this program has have run.
    ///
    /// # Errors
    /// [`SchemaError`] says what to run.
    pub async fn check(&self, connection: &mut PgConnection) -> Result<(), SchemaError> {
        let (schema, how) = (self.name, self.how);
        // Not a checked statement: the table is made by the migrations' runner. Its name is not
        // anybody's input.
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
