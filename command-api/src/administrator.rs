//! `command-api create-admin`: makes the first administrator, whom no other administrator could
//! appoint.
//!
//! It registers the user, and then opens the account and gives it the role `admin`. A repeat
//! completes what a crash interrupted. Somebody who registered in another way is refused without
//! `--existing`, because a stranger may hold the address.

use std::io::Read as _;

use access::{Caller, Principal, Role};
use anyhow::Context as _;
use domain::value::Email;
use rand::Rng as _;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::clock;
use uuid::Uuid;

use crate::application::use_case::RegisterUserInput;
use crate::application::{Application, CommandError, Context};
use crate::auth::Directory;
use crate::auth::appointment::{self, Appointed, Known};
use crate::auth::password::{Password, Passwords};
use crate::auth::user_access::UserAccess;
use crate::config::CreateAdminArgs;
use crate::offline::Stores;

/// The name under which Postgres lists the connections, and the principal in the metadata.
const NAME: &str = "create-admin";
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
    let Stores { application, access } = Stores::open(&args.stores, NAME).await?;
    let UserAccess { database, directory, .. } = access;
    let (user_id, is_new) = match directory.holder(&email).await? {
        Some(user_id) => (user_id, false),
        None => register(&application, &directory, &email, &args.name).await?,
    };
    let may_appoint = match appointment::known(&database, user_id).await? {
        Known::Administrator => true,
        Known::NoAccount => args.existing || is_new || is_begun(&directory, user_id).await?,
        Known::Account => args.existing,
    };
    anyhow::ensure!(may_appoint, Registered { user_id });
    let hash = Passwords::new(1).hash(password, None).await?;
    let now = clock::system().now();
    let appointed = appointment::appoint(&database, user_id, &hash, args.existing, now).await?;
    let password = match (appointed, &generated) {
        (Appointed::Refused, _) => anyhow::bail!(Registered { user_id }),
        (Appointed::Unchanged, _) => "unchanged: the user is an administrator already",
        (Appointed::TakenOver, _) => {
            "unchanged; all sessions of the user ended, and all API keys are revoked"
        }
        (Appointed::Opened, Some(generated)) => generated.expose_secret(),
        (Appointed::Opened, None) => "as given",
    };
    let user = if is_new { "registered" } else { "existing" };
    let email = email.as_str();
    cli_kit::print(format_args!(
        "administrator  {email} ({user} user {user_id})\npassword       {password}\n\
         log in         POST /api/v1/auth/log-in with {{\"email\": …, \"password\": …}}\n"
    ))?;
    Ok(())
}

/// The address belongs to somebody whom this command line did not register.
#[derive(Debug, thiserror::Error)]
#[error(
    "user {user_id} is registered with this address already, so nothing was done; if you know that \
     they are the right person, give --existing: their sessions and API keys end, and they get the \
     role {}",
    Role::ADMIN
)]
struct Registered {
    user_id: Uuid,
}

/// Whether an earlier run of this command line registered the user.
async fn is_begun(directory: &Directory, user_id: Uuid) -> anyhow::Result<bool> {
    Ok(directory.maker(user_id).await? == Some(Principal::system(NAME)?.to_string()))
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
