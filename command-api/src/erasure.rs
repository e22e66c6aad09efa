//! Personal data on the command side: the master keys, the erasure of a subject by command, and
//! applying erasures before serving.

use std::sync::{Arc, OnceLock};

use access::Policy;
use event_store::KeyError;
use event_store::encryption::{LocalMasterKeys, rotate};
use event_store::erasure::{self, EraseError, EraseRequest, Proof, Reconciled};
use event_store::postgres::PostgresKeys;
use event_store::postgres::{PostgresOptions, PostgresStore};
use event_store::{EventStore, StoreError, UpcastingLog};
use secrecy::ExposeSecret as _;
use service_kit::clock;

use crate::application::repository::{Repository, registry};
use crate::application::{Commands, OpenOrders, Settlement};
use crate::config::{EraseSubjectArgs, KeyArgs, MasterKeyArgs};
use crate::remote;

const APPLICATION_NAME: &str = "command-api erase";

/// The error if readable data is left after an erasure.
#[derive(Debug, thiserror::Error)]
#[error("the erasure is not complete: see the proof, and run it again")]
pub struct Incomplete;

/// Reads the master keys from the settings.
///
/// # Errors
/// The keys are absent or malformed.
pub fn master_keys(args: &MasterKeyArgs) -> anyhow::Result<LocalMasterKeys> {
    let master = LocalMasterKeys::parse(&args.get()?);
    Ok(master
        .map_err(|error| cli_kit::Usage(format!("MASTER_KEY: {}", cli_kit::describe(&error))))?)
}

/// Applies the erasures of the ledger to the log, and those of the log to the keys.
///
/// This is needed after either was restored from a backup.
///
/// # Errors
/// [`StoreError`] if it did not succeed. The process must not serve anyone before it does.
pub async fn apply(store: &dyn EventStore, keys: &PostgresKeys) -> Result<(), StoreError> {
    let done = erasure::reconcile(store, keys).await.map_err(|error| match error {
        EraseError::Store(error) => error,
        EraseError::Keys(error) => error.into(),
        error @ (EraseError::By
        | EraseError::Refused(_)
        | EraseError::StillReserved
        | EraseError::Name(_)
        | EraseError::Json(_)) => StoreError::Unusable(error.to_string()),
    })?;
    if done != Reconciled::default() {
        tracing::warn!(
            keys_destroyed = done.destroyed,
            told_to_log = done.told,
            "erasures were applied again"
        );
    }
    Ok(())
}

/// Erases a subject, here or in a running command API, and prints the proof.
///
/// # Errors
/// The erasure failed, or readable data is left. Running it again completes it.
pub async fn erase_subject(args: &EraseSubjectArgs) -> anyhow::Result<()> {
    let proof = match (&args.admin, &args.reason) {
        (Some(admin), Some(reason)) => {
            let wanted = (args.subject, args.cancel_open_orders);
            remote::erase(admin, wanted, (&args.by, reason)).await?
        }
        (Some(_), None) => {
            anyhow::bail!(cli_kit::Usage("--reason is needed with --admin".to_owned()))
        }
        (None, _) if args.cancel_open_orders => {
            let why = "--cancel-open-orders needs --admin".to_owned();
            anyhow::bail!(cli_kit::Usage(why))
        }
        (None, _) => erase_here(args).await?,
    };
    let text =
        if args.json { serde_json::to_string_pretty(&proof)? + "\n" } else { proof.to_string() };
    cli_kit::print(text)?;
    anyhow::ensure!(proof.holds(), Incomplete);
    Ok(())
}

async fn erase_here(args: &EraseSubjectArgs) -> anyhow::Result<Proof> {
    let options = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?
        .application_name(APPLICATION_NAME);
    let store = Arc::new(PostgresStore::connect(options).await?);
    let keys = PostgresKeys::connect(args.keys.get()?.expose_secret(), APPLICATION_NAME).await?;
    anyhow::ensure!(
        erasure::is_known(store.as_ref(), &keys, args.subject).await?,
        "nothing is known of subject {}: no key, no reservation and no event; nothing was done",
        args.subject
    );
    let request = EraseRequest { subject: args.subject, by: args.by.clone() };
    settlement(Arc::clone(&store) as _)?.settle(args.subject, OpenOrders::Refuse).await?;
    erasure::erase(store.as_ref(), &keys, &request).await?;
    Ok(erasure::prove(store.as_ref(), &keys, args.subject).await?)
}

/// Settles orders in this process. Open orders are events without personal data, so it needs no
/// keys.
fn settlement(store: Arc<dyn EventStore>) -> anyhow::Result<Settlement> {
    let repository = Repository::new(UpcastingLog::new(store, Arc::new(registry()?)));
    let commands = Arc::new(Commands::new(repository, clock::system()));
    let policy = Arc::new(Policy::default());
    Ok(Settlement::new(Arc::new(OnceLock::from(commands)), policy)?)
}

/// Encrypts every key with the first master key.
///
/// # Errors
/// The keys cannot be read or written. Keys that were already encrypted again stay so.
pub async fn rotate_master_key(args: &KeyArgs) -> anyhow::Result<()> {
    let master = master_keys(&args.master)?;
    let keys = PostgresKeys::connect(args.url.get()?.expose_secret(), APPLICATION_NAME).await?;
    let rotated: Result<u64, KeyError> = rotate(&keys, &master).await;
    let again = format_args!("{} keys were encrypted again, with the first master key\n", rotated?);
    Ok(cli_kit::print(again)?)
}
