//! The process's settings: each a flag and a variable, read once.

use clap::{Parser, Subcommand, ValueEnum};
use service_kit::config::{LimitArgs, LogArgs, LoopbackAddr, OriginArgs, TokenKeyArgs};

mod states;

pub use states::StateArgs;

service_kit::secret_args!(
    /// Where the event store is: postgres://user:password@host/database.
    EventStoreUrlArgs, "event-store-url", "EVENT_STORE_URL", "event-store-url-file",
        "EVENT_STORE_URL_FILE"
);

service_kit::secret_args!(
    /// Where users' credentials are kept: postgres://user:password@host/database.
    AuthUrlArgs, "auth-url", "AUTH_URL", "auth-url-file", "AUTH_URL_FILE"
);

service_kit::secret_args!(
    /// The key under which unique values are hashed: base64, at least 32 bytes.
    ReservationKeyArgs, "reservation-key", "RESERVATION_KEY", "reservation-key-file",
        "RESERVATION_KEY_FILE"
);

service_kit::secret_args!(
    /// Where the keys of personal data are kept: postgres://user:password@host/database.
    SubjectKeysUrlArgs, "subject-keys-url", "SUBJECT_KEYS_URL", "subject-keys-url-file",
        "SUBJECT_KEYS_URL_FILE"
);

service_kit::secret_args!(
    /// The master keys, one a line, each base64 of 32 bytes: the first wraps the keys of personal
    /// data, all of them open them.
    MasterKeyArgs, "master-key", "MASTER_KEY", "master-key-file", "MASTER_KEY_FILE"
);

/// Takes commands over HTTP and appends what happens to the event store.
#[derive(Debug, Parser)]
#[command(name = "command-api", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Serve the API until a signal comes.
    Serve(Box<ServeArgs>),
    /// Bring a schema up to date; safe when run twice or at once.
    #[command(subcommand)]
    Migrate(MigrateTarget),
    /// Erase the personal data of a subject for good, or finish an erasure that was begun, and
    /// print the proof.
    ///
    /// Exit code 1 when anything readable is left.
    EraseSubject(Box<EraseSubjectArgs>),
    /// Wrap all keys of personal data under the first master key; no event is touched. The others
    /// can be taken away then.
    RotateMasterKey(KeyArgs),
    /// Print the description of the API: OpenAPI 3.1, as `/openapi.json` shows it.
    Openapi,
}

/// Which schema to bring up to date.
#[derive(Debug, Subcommand)]
pub enum MigrateTarget {
    /// The event store's, as the owner of its database.
    EventStore {
        /// Where.
        #[command(flatten)]
        url: EventStoreUrlArgs,
    },
    /// That of the keys of personal data, as the owner of their database.
    SubjectKeys {
        /// Where.
        #[command(flatten)]
        url: SubjectKeysUrlArgs,
    },
    /// That of users' credentials.
    Auth {
        /// Where.
        #[command(flatten)]
        url: AuthUrlArgs,
    },
}

/// How to reach the keys of personal data.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Where they are.
    #[command(flatten)]
    pub url: SubjectKeysUrlArgs,
    /// What wraps them.
    #[command(flatten)]
    pub master: MasterKeyArgs,
}

/// Whose data is erased.
#[derive(Debug, clap::Args)]
pub struct EraseSubjectArgs {
    /// The subject: the id that stands as `$subject` in personal fields.
    pub subject: uuid::Uuid,
    /// Who asks for it: an opaque id, kept in the ledger and the event.
    #[arg(long)]
    pub by: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the event store is.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// Where the keys are.
    #[command(flatten)]
    pub keys: SubjectKeysUrlArgs,
}

/// What serving needs.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where the API listens.
    #[arg(long = "listen", env = "COMMAND_API_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: LoopbackAddr,
    /// Where the admin port listens: health and metrics.
    #[arg(long, env = "ADMIN_LISTEN", default_value = "127.0.0.1:9080")]
    pub admin_listen: LoopbackAddr,
    /// Where clients find the query API, for the Location of what was made.
    #[arg(long, env = "PUBLIC_QUERY_URL", default_value = "http://127.0.0.1:8081")]
    pub public_query_url: PublicUrl,
    /// Whether orders with prices and dates of their own are taken.
    #[arg(long, env = "ORDER_IMPORT", value_enum, default_value_t = Switch::Disabled)]
    pub order_import: Switch,
    /// Where the event store is.
    #[command(flatten)]
    pub event_store: EventStoreUrlArgs,
    /// The keys of personal data.
    #[command(flatten)]
    pub keys: KeyArgs,
    /// The key of unique values.
    #[command(flatten)]
    pub reservation_key: ReservationKeyArgs,
    /// The key of consistency tokens.
    #[command(flatten)]
    pub token_key: TokenKeyArgs,
    /// Which web pages may call.
    #[command(flatten)]
    pub origins: OriginArgs,
    /// What the API's port takes on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// What is held in memory and kept as snapshots.
    #[command(flatten)]
    pub states: StateArgs,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// An absolute URL that paths are added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is not such a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an absolute URL such as https://shop.example.com")]
pub struct PublicUrlError;

impl PublicUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(text: &str) -> Result<Self, PublicUrlError> {
        let uri: axum::http::Uri = text.parse().map_err(|_| PublicUrlError)?;
        let absolute = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some()
            && uri.query().is_none();
        if absolute { Ok(Self(text.trim_end_matches('/').to_owned())) } else { Err(PublicUrlError) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use clap::CommandFactory;

    use super::{Cli, PublicUrl, PublicUrlError};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_public_url_is_absolute_and_loses_its_last_slash() {
        assert_eq!(
            "https://shop.example.com/".parse::<PublicUrl>().unwrap().as_str(),
            "https://shop.example.com"
        );
        for text in ["", "/api", "shop.example.com", "ftp://x", "https://x/?a=b"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(PublicUrlError), "{text}");
        }
    }
}
