//! Asks a running projector for operations, through its admin port.

use admin_client::{Admin, Recorded, RemoteError, Server, TokenArgs};
use clap::Args;
use event_store::Position;
use projection::operation::Operation;
use serde_json::{Value, json};

use super::error::CommandError;
use super::progress::Bar;

/// The program that these command lines ask.
const PROJECTOR: Server = Server { noun: "projector", program: "projector" };

/// Selects a running projector to do the work.
#[derive(Debug, Args)]
pub(crate) struct ThroughAdmin {
    /// Let a running projector do the work, as an operation that outlives this command line. The
    /// value is the address of its admin port.
    #[arg(long, value_name = "URL", env = "PROJECTOR_ADMIN_URL")]
    admin: Option<String>,
    #[command(flatten)]
    token: TokenArgs,
}

impl ThroughAdmin {
    /// Returns the selected projector; `None` if this process does the work.
    fn reach(&self) -> Result<Option<Admin>, RemoteError> {
        let reach = |url: &String| Admin::at(PROJECTOR, url, self.token.token()?);
        self.admin.as_ref().map(reach).transpose()
    }

    /// Returns the selected projector with the caller and the reason; `None` if this process does
    /// the work.
    pub(super) fn remote(&self, by: &str, reason: &str) -> Result<Option<Remote>, RemoteError> {
        let by = Some(by.to_owned());
        Ok(self.reach()?.map(|admin| Remote::new(admin, by, reason.to_owned())))
    }
}

/// Selects a running projector to do the work, and names who asks for it and why.
#[derive(Debug, Args)]
pub(crate) struct ThroughArgs {
    #[command(flatten)]
    through: ThroughAdmin,
    /// Who asks for the operation, for the record. Needed with --admin, unless an access token says
    /// it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why, for the record. Needed with --admin.
    #[arg(long, value_name = "WHY")]
    reason: Option<String>,
}

impl ThroughArgs {
    /// Returns the selected projector; `None` if this process does the work.
    pub(super) fn remote(&self) -> Result<Option<Remote>, CommandError> {
        let Some(admin) = self.through.reach()? else { return Ok(None) };
        let says_who = self.by.is_some() || admin.has_token();
        match &self.reason {
            Some(reason) if says_who => {
                Ok(Some(Remote::new(admin, self.by.clone(), reason.clone())))
            }
            _ => Err(CommandError::WhoAndWhy),
        }
    }

    /// Returns the selected projector for work whose result may hold personal values.
    ///
    /// # Errors
    /// [`CommandError::Revealing`] if they are to be shown: a projector records its results.
    pub(super) fn remote_hiding(&self, reveal: bool) -> Result<Option<Remote>, CommandError> {
        match self.remote()? {
            Some(_) if reveal => Err(CommandError::Revealing),
            remote => Ok(remote),
        }
    }
}

/// Names the running projector to ask.
#[derive(Debug, Args)]
pub(super) struct AdminArgs {
    /// The address of a running projector's admin port.
    #[arg(
        long,
        value_name = "URL",
        env = "PROJECTOR_ADMIN_URL",
        default_value = "http://127.0.0.1:9083"
    )]
    admin: String,
    #[command(flatten)]
    token: TokenArgs,
}

impl AdminArgs {
    /// Creates the client. It connects with the first request.
    pub(super) fn reach(&self) -> Result<Admin, RemoteError> {
        Admin::at(PROJECTOR, &self.admin, self.token.token()?)
    }
}

/// A running projector, and the person who asks it for operations.
pub(super) struct Remote {
    admin: Admin,
    by: Option<String>,
    reason: String,
}

impl Remote {
    pub(super) const fn new(admin: Admin, by: Option<String>, reason: String) -> Self {
        Self { admin, by, reason }
    }

    /// Starts an operation, follows it until it ends, and shows its progress.
    pub(super) async fn carry_out(
        &self,
        kind: &str,
        projection: &str,
        arguments: Value,
    ) -> Result<Recorded<Operation>, RemoteError> {
        let request = json!({
            "kind": kind,
            "projection": projection,
            "reason": self.reason,
            "arguments": arguments,
        });
        let bar = Bar::new();
        let show = |operation: &Operation| {
            let Operation { work: Some(work), position, end_position, .. } = operation else {
                return;
            };
            bar.show(work, Position(*position), Position(*end_position));
        };
        self.admin.carry_out(request, self.by.as_deref(), show).await
    }
}
