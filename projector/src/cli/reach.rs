//! Connects a command to both databases, and to the keys if personal values are to be read.

use std::sync::Arc;

use clap::Args;
use event_store::encryption::{LocalMasterKeys, Vault, VaultOptions};
use event_store::erasure::{self};
use event_store::postgres::PostgresKeys;
use event_store::{EventStore, PostgresOptions, PostgresStore, StoreError, UpcastingLog};
use postgres_kit::Connection;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgConnectOptions;

use super::error::CommandError;
use super::{EventStoreUrl, MasterKey, ReadModelUrl, SubjectKeysUrl};
use crate::projections;
use projection::ops::{self, Operations};

/// The addresses of the databases and keys.
#[derive(Debug, Args)]
pub(crate) struct ToolArgs {
    #[command(flatten)]
    event_store: EventStoreUrl,
    #[command(flatten)]
    read_model: ReadModelUrl,
    #[command(flatten)]
    subject_keys: SubjectKeysUrl,
    #[command(flatten)]
    master_key: MasterKey,
}

impl ToolArgs {
    /// Opens both databases and the keys, and checks the schema of the read model.
    pub(super) async fn open(&self) -> Result<Operations, CommandError> {
        let options = connect_options(&self.read_model.get()?)?;
        let reads = u32::try_from(Operations::READ_CONNECTIONS).unwrap_or(u32::MAX);
        let store = store_options(&self.event_store.get()?)?.read_connections(reads);
        // Errors of the read model come first.
        ops::read_model(&options).await?;
        let store: Arc<dyn EventStore> = Arc::new(PostgresStore::connect(store).await?);
        let vault = self.vault(store.as_ref()).await?;
        let log = UpcastingLog::new(store, Arc::new(projections::registry()?));
        Ok(Operations::new(options, log, vault).await?)
    }

    /// Connects to the read model only, and checks its schema.
    pub(super) async fn read_model(&self) -> Result<Connection, CommandError> {
        Ok(ops::read_model(&connect_options(&self.read_model.get()?)?).await?)
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

/// Returns the options to connect to the store at `url`.
pub(crate) fn store_options(url: &SecretString) -> Result<PostgresOptions, StoreError> {
    Ok(PostgresOptions::from_url(url.expose_secret())?.application_name("projector-reads"))
}

/// Returns the options to connect to the read model at `url`.
pub(crate) fn connect_options(url: &SecretString) -> Result<PgConnectOptions, CommandError> {
    // The parser's error might repeat the URL, and so a password.
    url.expose_secret().parse().map_err(|_| CommandError::ReadModelUrl)
}
