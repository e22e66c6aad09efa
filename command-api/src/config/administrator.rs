//! The settings of `create-admin`, and the secret that it shares with `serve`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{AuthUrlArgs, EventStoreUrlArgs, KeyArgs, ReservationKeyArgs};

/// The minimum length of the reservation key, in bytes.
const MIN_KEY_LEN: usize = 32;

/// The settings of `create-admin`.
#[derive(Debug, clap::Args)]
pub struct CreateAdminArgs {
    /// The e-mail address that the administrator logs in with.
    #[arg(long)]
    pub email: String,
    /// The person's name, for a user who is not registered yet.
    #[arg(long, default_value = "Administrator")]
    pub name: String,
    /// A file that holds the password. Without it and --password-stdin, one is generated and
    /// printed.
    #[arg(long, value_name = "FILE", conflicts_with = "password_stdin")]
    pub password_file: Option<PathBuf>,
    /// Read the password from standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// Appoint a user who is registered already. Their sessions and API keys end first. A password
    /// that they have stays.
    #[arg(long)]
    pub existing: bool,
    /// How to reach the event store, the keys and the credentials.
    #[command(flatten)]
    pub stores: StoreArgs,
}

/// The settings of a command line that opens the stores itself, while the servers may run.
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    /// The database of the event store.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The keys of personal data.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The key that hashes unique values.
    #[command(flatten)]
    pub reservation_key: ReservationKeyArgs,
    /// The database of the credentials.
    #[command(flatten)]
    pub auth: AuthUrlArgs,
}

/// Decodes the reservation key.
///
/// # Errors
/// [`cli_kit::Usage`] if it is not base64 of at least 32 bytes.
pub fn reservation_secret(secret: &SecretString) -> Result<Zeroizing<Vec<u8>>, cli_kit::Usage> {
    let bytes = STANDARD.decode(secret.expose_secret().trim()).ok().map(Zeroizing::new);
    bytes.filter(|bytes| bytes.len() >= MIN_KEY_LEN).ok_or_else(|| {
        cli_kit::Usage("RESERVATION_KEY is not base64 of at least 32 bytes".to_owned())
    })
}
