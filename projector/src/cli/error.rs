//! Why a command could not be done.

use event_feed::NatsError;
use event_store::KeyError;
use event_store::StoreError;
use event_store::encryption::InvalidMasterKey;
use event_store::registry::InvalidRegistry;
use service_kit::config::SecretError;
use service_kit::process::ProcessError;
use uuid::Uuid;

use super::remote::RemoteError;
use projection::generation::SchemaError;
use projection::ops::explain::ExplainError;
use projection::ops::parked::ParkedError;
use projection::ops::rebuild::RebuildError;
use projection::ops::verify::VerifyError;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A setting is absent or cannot be read.
    #[error("a setting is wrong")]
    Setting(#[from] SecretError),
    /// The address of the read model cannot be read; not repeated, since it may hold a password.
    #[error("READ_MODEL_URL is not a Postgres URL")]
    ReadModelUrl,
    /// The schema is not this program's, or could not be made so.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The lists of what was ever written contradict each other.
    #[error("the registry of event types and versions cannot be made")]
    Registry(#[from] InvalidRegistry),
    /// The log cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys of personal data cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The master key is not one.
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
    /// A projection was not verified.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A row was not explained.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// A generation could not be built, switched to or dropped.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    /// Parked events could not be shown, tried again or skipped.
    #[error(transparent)]
    Parked(#[from] ParkedError),
    /// A running projector did not take or show an operation.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An operation of a running projector ended without doing it.
    #[error("operation {id} ended as {state}: {why}")]
    Operation {
        /// The operation's id.
        id: Uuid,
        /// How it ended.
        state: String,
        /// Why it failed, as the projector says.
        why: String,
    },
    /// An operation is recorded with who asked for it and why.
    #[error("an operation on a running projector (--admin) needs --by and --reason")]
    WhoAndWhy,
    /// Operations are recorded, and the record shows no personal values.
    #[error("--reveal cannot be had through --admin: the result is recorded")]
    Revealing,
    /// Keys are there whose subjects are erased.
    #[error("keys are there whose subjects are erased: start the command API, which destroys them")]
    ErasuresNotApplied,
    /// The live rows are not what the log makes.
    #[error("the rows of {0} are not what the log makes")]
    Differs(String),
    /// The operator did not confirm.
    #[error("nothing was done")]
    NotConfirmed,
}

impl CommandError {
    /// What the program's exit code says of it; see `cli_kit`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Differs(_) => cli_kit::NOT_IN_ORDER,
            Self::Setting(_)
            | Self::ReadModelUrl
            | Self::MasterKey(_)
            | Self::WhoAndWhy
            | Self::Revealing
            | Self::Remote(RemoteError::Invalid(_))
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
