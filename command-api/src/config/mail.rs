//! The settings of mails.

use std::path::PathBuf;
use std::sync::Arc;

use cli_kit::{Usage, describe};
use service_kit::config::PublicUrl;

use crate::auth::mail::Mailer;
use crate::auth::mail::sender::Sender;

service_kit::secret_args!(
    /// The mail server: smtps://user:password@host, or smtp://host:25 for one without encryption.
    MailServerArgs, "mail-server", "MAIL_SERVER", "mail-server-file", "MAIL_SERVER_FILE"
);

/// How mails leave. They carry the proofs of sign-ups, new addresses and new passwords.
#[derive(Debug, clap::Args)]
pub struct MailArgs {
    /// The mail server.
    #[command(flatten)]
    pub server: MailServerArgs,
    /// A folder to which mails are written instead, for local use. They hold secrets.
    #[arg(long, env = "MAIL_FOLDER", value_name = "FOLDER")]
    pub mail_folder: Option<PathBuf>,
    /// The sender of all mails.
    #[arg(long, env = "MAIL_FROM", value_name = "ADDRESS", default_value = "daybook@localhost")]
    pub mail_from: String,
    /// The URL of the frontend. Links in mails begin with it.
    #[arg(long, env = "FRONTEND_URL", value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub frontend_url: PublicUrl,
}

impl MailArgs {
    /// What sends the mails.
    ///
    /// # Errors
    /// There is not exactly one way out, it is invalid, or the sender is no address.
    pub fn sender(&self) -> Result<Sender, Usage> {
        let server = self.server.optional().map_err(|error| Usage(describe(&error)))?;
        let mailer = match (server, &self.mail_folder) {
            (Some(server), None) => {
                Mailer::smtp(&server).map_err(|error| Usage(format!("MAIL_SERVER: {error}")))?
            }
            (None, Some(folder)) => Mailer::Folder(folder.clone()),
            _ => {
                let problem = "give one of MAIL_SERVER and MAIL_FOLDER, for the mails of AUTH_URL";
                return Err(Usage(problem.to_owned()));
            }
        };
        let from: Arc<str> = self.mail_from.as_str().into();
        if from.parse::<lettre::message::Mailbox>().is_err() {
            let problem = format!("MAIL_FROM: {from:?} is not an address such as Shop <a@b.com>");
            return Err(Usage(problem));
        }
        Ok(Sender { mailer, from, frontend: self.frontend_url.as_str().into() })
    }
}
