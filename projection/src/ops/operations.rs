//! The dependencies of operations that replay the log: both databases, and the keys of personal
//! data.

use std::sync::Arc;
use std::time::Duration;

use event_store::UpcastingLog;
use event_store::encryption::Vault;
use postgres_kit::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::generation::{self, SchemaError};
use crate::projection::AnyProjection;
use crate::replay::{READ_AHEAD, Source};
use crate::runner::database;

/// The limit of a query that reads whole tables.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);
/// The limit of one step of a rebuild or verification: writing as many rows as memory holds, or
/// comparing a chunk.
const WORK_LIMIT: Duration = Duration::from_mins(15);

/// The dependencies of operations that replay the log.
pub struct Operations {
    pub(crate) options: PgConnectOptions,
    pub(crate) log: UpcastingLog,
    vault: Option<Arc<Vault>>,
    /// Identifies this run's database connections.
    pub(crate) owner: Uuid,
}

impl Operations {
    /// The number of read connections that the event store needs: one per range that is read ahead,
    /// one for the next page of the range being folded, and one for other queries.
    pub const READ_CONNECTIONS: usize = READ_AHEAD + 2;

    /// Connects to the read model and checks that its schema is this program's.
    ///
    /// `vault` decrypts personal values. Without it, events with personal values cannot be read.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub async fn new(
        options: PgConnectOptions,
        log: UpcastingLog,
        vault: Option<Arc<Vault>>,
    ) -> Result<Self, SchemaError> {
        let owner = Uuid::now_v7();
        checked(&options, owner).await?;
        Ok(Self { options, log, vault, owner })
    }

    /// The log as this projection reads it.
    pub(crate) fn source(&self, projection: &Arc<dyn AnyProjection>) -> Arc<Source> {
        Source::new(self.log.clone(), self.vault.clone(), Arc::clone(projection))
    }

    /// Opens a connection to the read model with long time limits.
    pub(crate) async fn connect(&self) -> sqlx::Result<Connection> {
        let mut connection = database::connect(&self.options, self.owner).await?;
        sqlx::raw_sql(
            "SET statement_timeout = 0; SET lock_timeout = '5s'; SET \
            idle_in_transaction_session_timeout = '5min'",
        )
        .execute(&mut connection)
        .await?;
        connection.set_limit(WORK_LIMIT);
        Ok(connection)
    }
}

/// Opens a connection to the read model for operations that only query it. Checks that the schema
/// is this program's.
///
/// # Errors
/// [`SchemaError`].
pub async fn read_model(options: &PgConnectOptions) -> Result<Connection, SchemaError> {
    let mut connection = checked(options, Uuid::now_v7()).await?;
    connection.set_limit(QUESTION_LIMIT);
    Ok(connection)
}

/// Opens a connection to the read model and checks its schema.
async fn checked(options: &PgConnectOptions, owner: Uuid) -> Result<Connection, SchemaError> {
    let mut connection = database::connect(options, owner).await?;
    connection.run(async |raw: &mut PgConnection| generation::check(raw).await).await?;
    Ok(connection)
}
