//! The stores of the shop, opened by a command line. The servers may run at the same time.

use std::sync::{Arc, OnceLock};

use access::Policy;
use event_store::encryption::{self, SubjectKeyStore as _, Vault, VaultOptions};
use event_store::postgres::{PostgresKeys, PostgresOptions, PostgresStore};
use event_store::{CacheLimits, EncryptingStore, ReservationKey, StateLoader, UpcastingLog};
use identity::Revocations;
use secrecy::ExposeSecret as _;
use service_kit::clock;

use crate::application::repository::{Repository, registry};
use crate::application::use_case::EmailReservations;
use crate::application::{Application, Commands, Environment};
use crate::auth::user_access::UserAccess;
use crate::auth::{Database, Directory};
use crate::config::{StoreArgs, reservation_secret};
use crate::erasure;

/// The stores of the shop.
pub(crate) struct Stores {
    /// The commands on the log.
    pub(crate) application: Application,
    /// The credentials, with the users in the log. The running processes learn from the table what
    /// is revoked.
    pub(crate) access: UserAccess,
}

impl Stores {
    /// Opens the stores. `name` is the name under which Postgres lists the connections.
    ///
    /// # Errors
    /// A setting is invalid, or one of the stores cannot be reached or is of another deployment.
    pub(crate) async fn open(args: &StoreArgs, name: &'static str) -> anyhow::Result<Self> {
        let database = Database::new(&args.auth.get()?)?;
        database.check().await?;
        let application = application(args, name).await?;
        let directory = Directory {
            commands: Arc::clone(&application.commands),
            reservations: application.environment.reservations.clone(),
        };
        let (revocations, clock) = (Revocations::default(), clock::system());
        Ok(Self { application, access: UserAccess { database, directory, revocations, clock } })
    }
}

/// The application on the log, as the running process has it.
async fn application(args: &StoreArgs, name: &'static str) -> anyhow::Result<Application> {
    let secret = reservation_secret(&args.reservation_key.get()?)?;
    let master = Arc::new(erasure::master_keys(&args.keys.master)?);
    let keys = PostgresKeys::connect(args.keys.url.get()?.expose_secret(), name).await?;
    encryption::check(&keys, master.as_ref()).await?;
    let options = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?;
    let options = options.application_name(name).known_head(keys.known_head().await?);
    let store = PostgresStore::connect(options).await?;
    erasure::apply(&store, &keys).await?;
    let vault = Vault::new(Arc::new(keys), master, VaultOptions::default());
    let log = UpcastingLog::new(
        Arc::new(EncryptingStore::new(Arc::new(store), vault)),
        Arc::new(registry()?),
    );
    let repository = Repository::over(StateLoader::new(log, CacheLimits::default()));
    let commands = Arc::new(Commands::new(repository, clock::system()));
    Ok(Application {
        commands: Arc::new(OnceLock::from(commands)),
        environment: Environment {
            reservations: EmailReservations::new(Arc::new(ReservationKey::new(secret.to_vec()))),
            clock: clock::system(),
            order_import: false,
        },
        policy: Arc::new(Policy::default()),
    })
}
