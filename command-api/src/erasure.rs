//! Personal data on the command side: the master keys, the erasure of a subject by command, and
//! applying erasures before serving.

use std::sync::{Arc, OnceLock};

use access::{Policy, Principal};
use event_store::KeyError;
use event_store::encryption::{LocalMasterKeys, rotate};
use event_store::erasure::{self, Elsewhere, EraseError, EraseRequest, Proof, Reconciled};
use event_store::postgres::PostgresKeys;
use event_store::postgres::{PostgresOptions, PostgresStore};
use event_store::{EventStore, StoreError, UpcastingLog};
use identity::Revocations;
use secrecy::ExposeSecret as _;
use service_kit::clock;
use uuid::Uuid;

use crate::application::repository::{Repository, registry};
use crate::application::{Commands, OpenOrders, Settlement};
use crate::auth::departure::CredentialStore;
use crate::auth::{Database, IdentityError};
use crate::config::{EraseSubjectArgs, KeyArgs, MasterKeyArgs};
use crate::remote;

/// The name of the credentials in a proof.
const CREDENTIALS: &str = "credentials";
/// What a proof says if the credentials cannot be reached.
const OUT_OF_REACH: &str = "credentials in the schema auth: the setting AUTH_URL is absent here";
const APPLICATION_NAME: &str = "command-api erase";

/// The error if readable data is left after an erasure.
#[derive(Debug, thiserror::Error)]
#[error("the erasure is not complete: see the proof, and run it again")]
pub struct Incomplete;

/// Why a person could not be erased, or the erasure not be proven.
#[derive(Debug, thiserror::Error)]
pub enum EraseEverywhereError {
    /// The log, its keys or the ledger failed.
    #[error(transparent)]
    Log(#[from] EraseError),
    /// The credentials failed.
    #[error("the credentials of the subject could not be erased")]
    Credentials(#[from] IdentityError),
}

/// Whether anything is stored of a subject: in the log and its keys, or in the credentials.
///
/// # Errors
/// [`EraseEverywhereError`].
pub(crate) async fn is_known(
    store: &PostgresStore,
    keys: &PostgresKeys,
    credentials: Option<&CredentialStore>,
    subject: Uuid,
) -> Result<bool, EraseEverywhereError> {
    if let Some(credentials) = credentials
        && credentials.rows_of(subject).await? > 0
    {
        return Ok(true);
    }
    Ok(erasure::is_known(store, keys, subject).await?)
}

/// Erases a subject in the log and in the credentials, and proves both. Every step can be repeated.
///
/// # Errors
/// [`EraseEverywhereError`]. What was erased stays erased; run it again.
pub(crate) async fn erase_everywhere(
    store: &PostgresStore,
    keys: &PostgresKeys,
    credentials: Option<&CredentialStore>,
    request: &EraseRequest,
) -> Result<Proof, EraseEverywhereError> {
    let subject = request.subject;
    erasure::erase(store, keys, request).await?;
    if let Some(credentials) = credentials {
        credentials.erase(subject).await?;
    }
    let mut proof = erasure::prove(store, keys, subject).await?;
    match credentials {
        Some(credentials) => {
            let rows_left = credentials.rows_of(subject).await?;
            proof.elsewhere.push(Elsewhere { store: CREDENTIALS.into(), rows_left });
        }
        None => proof.out_of_reach.push(OUT_OF_REACH.into()),
    }
    Ok(proof)
}

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
            let admin = remote::reach(admin, &args.token)?;
            let wanted = (args.subject, args.cancel_open_orders);
            remote::erase(&admin, wanted, (args.by.as_deref(), reason)).await?
        }
        (Some(_), None) => {
            anyhow::bail!(cli_kit::Usage("--reason is needed with --admin".to_owned()))
        }
        (None, _) if args.cancel_open_orders => {
            let why = "--cancel-open-orders needs --admin".to_owned();
            anyhow::bail!(cli_kit::Usage(why))
        }
        (None, _) => match &args.by {
            Some(by) => erase_here(args, by).await?,
            None => anyhow::bail!(cli_kit::Usage("--by is needed without --admin".to_owned())),
        },
    };
    let text =
        if args.json { serde_json::to_string_pretty(&proof)? + "\n" } else { proof.to_string() };
    cli_kit::print(text)?;
    anyhow::ensure!(proof.holds(), Incomplete);
    Ok(())
}

async fn erase_here(args: &EraseSubjectArgs, by: &str) -> anyhow::Result<Proof> {
    anyhow::ensure!(
        !Principal::is_resembled_by(by),
        cli_kit::Usage("--by: this form is for the holders of access tokens".to_owned())
    );
    let options = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?
        .application_name(APPLICATION_NAME);
    let store = Arc::new(PostgresStore::connect(options).await?);
    let keys = PostgresKeys::connect(args.keys.get()?.expose_secret(), APPLICATION_NAME).await?;
    let credentials = match args.auth.optional()? {
        Some(url) => Some(CredentialStore {
            database: Database::new(&url)?,
            revocations: Revocations::default(),
            clock: clock::system(),
        }),
        None => None,
    };
    let (credentials, subject) = (credentials.as_ref(), args.subject);
    anyhow::ensure!(
        is_known(store.as_ref(), &keys, credentials, subject).await?,
        "{}",
        nothing_known(subject)
    );
    let request = EraseRequest { subject, by: by.to_owned() };
    let settlement = settlement(Arc::clone(&store) as _)?;
    anyhow::ensure!(
        leaves_an_administrator(credentials, &settlement, subject).await?,
        "the subject is the last administrator: let another user become one first; nothing was \
         erased"
    );
    settlement.settle(subject, OpenOrders::Refuse).await?;
    Ok(erase_everywhere(store.as_ref(), &keys, credentials, &request).await?)
}

/// Whether an administrator is left: another user is one, or the subject is not one.
async fn leaves_an_administrator(
    credentials: Option<&CredentialStore>,
    settlement: &Settlement,
    subject: Uuid,
) -> anyhow::Result<bool> {
    let Some(credentials) = credentials else { return Ok(true) };
    let Some(others) = credentials.other_administrators(subject).await? else { return Ok(true) };
    for other in others {
        if settlement.is_active(other).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Says that there is nothing to erase.
pub(crate) fn nothing_known(subject: Uuid) -> String {
    format!(
        "nothing is known of subject {subject}: no key, no reservation, no event and no \
         credentials; nothing was done"
    )
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
