//! What the tools that fold the log anew need of the outside: both databases, and the keys where
//! personal values are to be read.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use event_store::erasure::{self, LocalMasterKeys, PostgresKeys, Vault, VaultOptions};
use event_store::{EventStore, PostgresStore, UpcastingLog};
use postgres_kit::Connection;
use secrecy::ExposeSecret as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use uuid::Uuid;

use crate::cli::{EventStoreUrl, MasterKey, ReadModelUrl, SubjectKeysUrl};
use crate::error::CommandError;
use crate::generation::{self, SchemaError};
use crate::process::{connect_options, store_options};
use crate::projection::AnyProjection;
use crate::projections;
use crate::replay::{READ_AHEAD, Source};
use crate::runner::database;

/// How long one question of a command line may take that reads whole tables.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);
/// How long one piece of a rebuild or a verification may take: as many rows as memory holds are
/// written, a chunk is compared.
const WORK_LIMIT: Duration = Duration::from_mins(15);

/// Where everything is.
#[derive(Debug, Args)]
pub struct ToolArgs {
    #[command(flatten)]
    pub(crate) event_store: EventStoreUrl,
    #[command(flatten)]
    pub(crate) read_model: ReadModelUrl,
    #[command(flatten)]
    pub(crate) subject_keys: SubjectKeysUrl,
    #[command(flatten)]
    pub(crate) master_key: MasterKey,
}

/// The outside, reached.
pub(crate) struct Tool {
    pub(crate) options: PgConnectOptions,
    pub(crate) log: UpcastingLog,
    /// None where no keys were named: an event with a personal value then cannot be read.
    pub(crate) vault: Option<Arc<Vault>>,
    /// Names this run among the connections.
    pub(crate) owner: Uuid,
}

impl ToolArgs {
    /// Reaches everything, and checks that the read model is the one that this program knows.
    pub(crate) async fn open(&self) -> Result<Tool, CommandError> {
        let options = connect_options(&self.read_model.get()?)?;
        let owner = Uuid::now_v7();
        checked(&options, owner).await?;
        // Two more than are read ahead: for the next page of the range that is folded, and for
        // questions in between.
        let reads = u32::try_from(READ_AHEAD).unwrap_or(u32::MAX).saturating_add(2);
        let store = PostgresStore::connect(
            store_options(&self.event_store.get()?)?.read_connections(reads),
        )
        .await?;
        let store: Arc<dyn EventStore> = Arc::new(store);
        let vault = self.vault(store.as_ref()).await?;
        Ok(Tool {
            options,
            log: UpcastingLog::new(store, Arc::new(projections::registry()?)),
            vault,
            owner,
        })
    }

    /// A connection to the read model alone, which is checked.
    pub(crate) async fn read_model(&self) -> Result<Connection, CommandError> {
        let options = connect_options(&self.read_model.get()?)?;
        let mut connection = checked(&options, Uuid::now_v7()).await?;
        connection.set_limit(QUESTION_LIMIT);
        Ok(connection)
    }

    async fn vault(&self, store: &dyn EventStore) -> Result<Option<Arc<Vault>>, CommandError> {
        let (Some(url), Some(master)) =
            (self.subject_keys.optional()?, self.master_key.optional()?)
        else {
            return Ok(None);
        };
        let keys = PostgresKeys::connect(url.expose_secret(), "projector").await?;
        if !erasure::is_settled(store, &keys).await? {
            return Err(CommandError::ErasuresNotApplied);
        }
        let master = LocalMasterKeys::parse(&master)?;
        Ok(Some(Vault::new(Arc::new(keys), Arc::new(master), VaultOptions::default())))
    }
}

impl Tool {
    /// The log as this projection reads it.
    pub(crate) fn source(&self, projection: Arc<dyn AnyProjection>) -> Arc<Source> {
        Source::new(self.log.clone(), self.vault.clone(), projection)
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

/// A connection to the read model, which has the form that this program knows.
pub(crate) async fn checked(
    options: &PgConnectOptions,
    owner: Uuid,
) -> Result<Connection, CommandError> {
    let mut connection = database::connect(options, owner).await?;
    connection.run(async |raw: &mut PgConnection| generation::check(raw).await).await?;
    Ok(connection)
}

/// The projection of this name.
pub(crate) fn projection(name: &str) -> Result<Arc<dyn AnyProjection>, SchemaError> {
    let known = projections::all().into_iter().find(|projection| projection.name() == name);
    known.ok_or_else(|| SchemaError::UnknownProjection(name.to_owned()))
}
