//! Why a command failed.

use event_store::KeyError;
use event_store::StoreError;
use event_store::encryption::InvalidMasterKey;
use event_store::registry::InvalidRegistry;
use identity::OperatorKeysError;
use nats_kit::NatsError;
use service_kit::config::SecretError;
use service_kit::process::ProcessError;

use admin_client::RemoteError;
use projection::generation::SchemaError;
use projection::ops::explain::ExplainError;
use projection::ops::parked::ParkedError;
use projection::ops::rebuild::RebuildError;
use projection::ops::verify::VerifyError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A setting is missing or cannot be read.
    #[error("a setting is wrong")]
    Setting(#[from] SecretError),
    /// Settings contradict each other.
    #[error("a setting is wrong")]
    Usage(#[from] cli_kit::Usage),
    /// The settings of access tokens cannot be used.
    #[error(transparent)]
    Identity(#[from] OperatorKeysError),
    /// The address of the read model is not a URL. It is not shown, because it may hold a password.
    #[error("READ_MODEL_URL is not a Postgres URL")]
    ReadModelUrl,
    /// The schema is not this program's, or could not be migrated.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The lists of event types and versions contradict each other.
    #[error("the registry of event types and versions is not valid")]
    Registry(#[from] InvalidRegistry),
    /// The log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys of personal data cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The master key is not valid.
    #[error("MASTER_KEY")]
    MasterKey(#[from] InvalidMasterKey),
    /// The read model's database failed.
    #[error("the read model's database failed")]
    Database(#[from] sqlx::Error),
    /// The NATS address cannot be used.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// The process did not start or did not end well.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Reading an answer or writing the result failed.
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
    /// The result could not be written as JSON.
    #[error("the result could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A projection could not be verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A row could not be explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A generation could not be built, switched to or dropped.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// Parked events could not be shown, retried or skipped.
    #[error(transparent)]
    Parked(#[from] ParkedError),
    /// A running projector did not accept or show an operation, or the operation failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// `--by` or `--reason` is missing: an operation is recorded with both. An access token says
    /// who asks, so `--by` is not needed with one.
    #[error(
        "an operation on a running projector (--admin) needs --reason, and says who asks: by an \
         access token (DAYBOOK_TOKEN, --token-file), or by --by where none is asked for"
    )]
    WhoAndWhy,
    /// `--reveal` was given with `--admin`: results are recorded, so they hide personal values.
    #[error("--reveal cannot be combined with --admin: the result is recorded")]
    Revealing,
    /// The key store holds keys of erased subjects.
    #[error(
        "the key store holds keys of erased subjects: start the command API, which destroys them"
    )]
    ErasuresNotApplied,
    /// The live rows differ from what the log makes.
    #[error("the rows of {0} are not what the log makes")]
    Differs(String),
    /// The person did not confirm.
    #[error("nothing was done")]
    NotConfirmed,
}

impl CommandError {
    /// The exit code of the program; see `cli_kit`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Differs(_) => cli_kit::NOT_IN_ORDER,
            Self::Setting(_)
            | Self::Identity(OperatorKeysError::Usage(_))
            | Self::ReadModelUrl
            | Self::MasterKey(_)
            | Self::WhoAndWhy
            | Self::Revealing
            | Self::Remote(
                RemoteError::Invalid(_)
                | RemoteError::Setting(_)
                | RemoteError::NotAToken
                | RemoteError::Exposed(_),
            )
            | Self::Explain(ExplainError::NotAKey(..))
            | Self::Parked(ParkedError::NotAKey(..)) => cli_kit::USAGE,
            Self::Schema(error)
            | Self::Verify(VerifyError::Schema(error))
            | Self::Rebuild(RebuildError::Schema(error))
                if is_usage(error) =>
            {
                cli_kit::USAGE
            }
            _ => cli_kit::FAILED,
        }
    }
}

const fn is_usage(error: &SchemaError) -> bool {
    matches!(error, SchemaError::UnknownProjection(_) | SchemaError::NotSplit(..))
}
