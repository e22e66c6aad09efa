//! Mails: what is written to whom, and the port through which they leave.
//!
//! A mail is first a row in the outbox, written in the transaction that it tells of. A background
//! task sends it ([`sender`]).

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncWriteExt as _;

pub mod letter;
pub mod outbox;
pub mod sender;

pub use letter::{Kind, Letter, Told};

/// The maximum time of one call to the mail server.
const SMTP_LIMIT: Duration = Duration::from_secs(20);

/// The way out for mails.
#[derive(Debug, Clone)]
pub enum Mailer {
    /// To a mail server.
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
    /// To files in a folder, one per mail, for tests and local use. They hold the tokens.
    Folder(PathBuf),
}

/// Why a mailer cannot be made. The URL may hold a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("not the URL of a mail server, such as smtps://user:password@host or smtp://host:25")]
pub struct InvalidMailUrl;

/// Why a mail was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The mail cannot be written, for example because its address cannot be used in a mail.
    #[error("the mail cannot be written")]
    Message(#[from] lettre::error::Error),
    /// An address cannot be used in a mail.
    #[error("an address cannot be used in a mail")]
    Address(#[from] lettre::address::AddressError),
    /// The mail server refused it or does not answer.
    #[error("the mail server did not take the mail")]
    Smtp(#[from] smtp::Error),
    /// The file cannot be written.
    #[error("the mail's file cannot be written")]
    File(#[from] std::io::Error),
}

impl MailError {
    /// Whether no further attempt can succeed.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Message(_) | Self::Address(_) => true,
            Self::Smtp(error) => error.is_permanent(),
            Self::File(_) => false,
        }
    }
}

impl Mailer {
    /// A mailer for the server at a URL. `smtps` encrypts from the start. `smtp` uses STARTTLS if
    /// the URL ends with `?tls=required`, and otherwise encrypts nothing.
    ///
    /// # Errors
    /// [`InvalidMailUrl`].
    pub fn smtp(url: &SecretString) -> Result<Self, InvalidMailUrl> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose_secret());
        let transport = transport.map_err(|_| InvalidMailUrl)?.timeout(Some(SMTP_LIMIT));
        Ok(Self::Smtp(transport.build()))
    }

    /// Hands a mail over.
    ///
    /// # Errors
    /// [`MailError`].
    pub async fn send(&self, from: &str, letter: &Letter) -> Result<(), MailError> {
        let (from, to): (Mailbox, Mailbox) = (from.parse()?, letter.to.parse()?);
        let message = Message::builder()
            .from(from)
            .to(to)
            .subject(letter.subject)
            .header(lettre::message::header::ContentType::TEXT_PLAIN)
            .message_id(Some(format!("<{}@auth>", letter.id)))
            .body(letter.text.expose_secret().to_owned())?;
        match self {
            Self::Smtp(transport) => transport.send(message).await.map(drop)?,
            Self::Folder(folder) => write(folder, letter, &message.formatted()).await?,
        }
        Ok(())
    }
}

/// Writes a mail under its final name once it is complete. Only the owner may read it.
async fn write(
    folder: &std::path::Path,
    letter: &Letter,
    message: &[u8],
) -> Result<(), std::io::Error> {
    let path = folder.join(format!("{}.eml", letter.id));
    let draft = path.with_extension("draft");
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&draft).await?;
    file.write_all(message).await?;
    file.flush().await?;
    tokio::fs::rename(draft, path).await
}
