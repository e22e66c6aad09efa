//! What operations that replay the log work on: both databases, and the keys where personal values
//! are to be read.

use std::sync::Arc;
use std::time::Duration;

use event_store::UpcastingLog;
use event_store::erasure::Vault;
use postgres_kit::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::generation::{self, SchemaError};
use crate::projection::AnyProjection;
use crate::replay::{READ_AHEAD, Source};
use crate::runner::database;

/// How long one question of an operation may take that reads whole tables.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);
/// How long one piece of a rebuild or a verification may take: as many rows as memory holds are
/// written, a chunk is compared.
const WORK_LIMIT: Duration = Duration::from_mins(15);

/// What operations that replay the log work on.
pub struct Operations {
    pub(crate) options: PgConnectOptions,
    pub(crate) log: UpcastingLog,
    vault: Option<Arc<Vault>>,
    /// Names this run among the connections.
    pub(crate) owner: Uuid,
}

impl Operations {
    /// How many connections the store of the log needs for reads: as many as ranges are read ahead,
    /// one for the next page of the range that is folded, and one for questions in between.
    pub const READ_CONNECTIONS: usize = READ_AHEAD + 2;

    /// Checks that the read model has the form that this program knows.
    ///
    /// `vault` opens personal values. Without it an event that has one cannot be read.
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

    /// A connection to the read model whose statements may take long.
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

/// A connection to the read model alone, for operations that ask it questions. Checks that the read
/// model has the form that this program knows.
///
/// # Errors
/// [`SchemaError`].
pub async fn read_model(options: &PgConnectOptions) -> Result<Connection, SchemaError> {
    let mut connection = checked(options, Uuid::now_v7()).await?;
    connection.set_limit(QUESTION_LIMIT);
    Ok(connection)
}

/// A connection to the read model, which has the form that this program knows.
async fn checked(options: &PgConnectOptions, owner: Uuid) -> Result<Connection, SchemaError> {
    let mut connection = database::connect(options, owner).await?;
    connection.run(async |raw: &mut PgConnection| generation::check(raw).await).await?;
    Ok(connection)
}
