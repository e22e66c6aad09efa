//! `command-api create-admin`: makes the first administrator, whom no other administrator could
//! appoint.
//!
//! It registers the user, opens the account and gives it the role `admin`, in this sequence. Each
//! step is skipped if it was done before, so a repeat completes what a crash interrupted.

use std::io::Read as _;
use std::sync::{Arc, OnceLock};

use access::{Caller, Policy, Principal};
use anyhow::Context as _;
use domain::value::Email;
use event_store::encryption::{SubjectKeyStore as _, Vault, VaultOptions};
use event_store::postgres::{PostgresKeys, PostgresOptions, PostgresStore};
use event_store::{CacheLimits, EncryptingStore, ReservationKey, StateLoader, UpcastingLog};
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::clock;
use uuid::Uuid;

use crate::application::repository::{Repository, registry};
use crate::application::use_case::{EmailReservations, RegisterUserInput};
use crate::application::{Application, CommandError, Commands, Context, Environment};
use crate::auth::password::{Password, Passwords};
use crate::auth::{Database, Directory, account};
use crate::config::{CreateAdminArgs, reservation_secret};
use crate::erasure;

/// The name under which Postgres lists the connections, and the principal in the metadata.
const NAME: &str = "create-admin";
/// The role of administrators.
const ADMIN: &str = "admin";
/// The length of a generated password: more than 128 bits.
const GENERATED_LENGTH: usize = 24;
/// The maximum number of bytes that are read as a password.
const MAX_READ: u64 = 1024;

/// Creates the administrator and prints how to log in.
///
/// # Errors
/// A setting is invalid, or one of the stores cannot be reached.
pub async fn create_admin(args: &CreateAdminArgs) -> anyhow::Result<()> {
    let email =
        Email::parse(&args.email).map_err(|error| cli_kit::Usage(format!("--email: {error}")))?;
    let (password, generated) = password(args)?;
    let database = Database::new(&args.auth.get()?)?;
    database.check().await?;
    let application = application(args).await?;
    let directory = Directory {
        commands: Arc::clone(&application.commands),
        reservations: application.environment.reservations.clone(),
    };
    let (user_id, is_new_user) = match directory.holder(&email).await? {
        Some(user_id) => (user_id, false),
        None => register(&application, &directory, &email, &args.name).await?,
    };
    let hash = Passwords::new(1).hash(password).await?;
    let is_new = account::open(&database, user_id, &hash, clock::system().now()).await?;
    account::give_role(&database, user_id, ADMIN).await?;
    cli_kit::print(told(email.as_str(), user_id, (is_new_user, is_new), generated.as_ref()))?;
    Ok(())
}

fn told(
    email: &str,
    user_id: Uuid,
    (is_new_user, is_new): (bool, bool),
    generated: Option<&SecretString>,
) -> String {
    let user = if is_new_user { "registered" } else { "existing" };
    let password = match (is_new, generated) {
        (false, _) => "unchanged: the account was there already",
        (true, Some(generated)) => generated.expose_secret(),
        (true, None) => "as given",
    };
    format!(
        "administrator  {email} ({user} user {user_id})\npassword       {password}\n\
         log in         POST /api/v1/auth/log-in with {{\"email\": …, \"password\": …}}\n"
    )
}

/// The password from its file or standard input, or else a new one, which is also returned to be
/// shown.
fn password(args: &CreateAdminArgs) -> anyhow::Result<(Password, Option<SecretString>)> {
    let (given, generated) = match (&args.password_file, args.password_stdin) {
        (Some(path), _) => {
            let file = std::fs::File::open(path);
            let file = file.with_context(|| format!("cannot read {}", path.display()))?;
            (read(file)?, None)
        }
        (None, true) => (read(std::io::stdin())?, None),
        (None, false) => {
            let letters = rand::rng().sample_iter(rand::distr::Alphanumeric);
            let text: String = letters.take(GENERATED_LENGTH).map(char::from).collect();
            (SecretString::from(text.clone()), Some(SecretString::from(text)))
        }
    };
    let password = Password::new(given).map_err(|error| cli_kit::Usage(error.to_string()))?;
    Ok((password, generated))
}

/// Reads a password without the end of its line.
fn read(from: impl std::io::Read) -> anyhow::Result<SecretString> {
    let mut text = zeroize::Zeroizing::new(String::new());
    from.take(MAX_READ).read_to_string(&mut text).context("the password cannot be read")?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

/// The application on the log, as the running process has it.
async fn application(args: &CreateAdminArgs) -> anyhow::Result<Application> {
    let secret = reservation_secret(&args.reservation_key.get()?)?;
    let master = Arc::new(erasure::master_keys(&args.keys.master)?);
    let keys = PostgresKeys::connect(args.keys.url.get()?.expose_secret(), NAME).await?;
    let options = PostgresOptions::from_url(args.event_store.get()?.expose_secret())?;
    let options = options.application_name(NAME).known_head(keys.known_head().await?);
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

/// Registers the user. If somebody else registers the address at the same time, that user counts.
async fn register(
    application: &Application,
    directory: &Directory,
    email: &Email,
    name: &str,
) -> anyhow::Result<(Uuid, bool)> {
    let input =
        RegisterUserInput { id: None, email: email.as_str().to_owned(), name: name.to_owned() };
    match application.run(input, Context::new(Caller::system(Principal::system(NAME)?))).await {
        Ok(done) => Ok((done.answer.id, true)),
        Err(CommandError::EmailTaken) => {
            let holder = directory.holder(email).await?;
            Ok((holder.context("another user held the address a moment ago")?, false))
        }
        Err(CommandError::Invalid(error)) => Err(cli_kit::Usage(error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}
