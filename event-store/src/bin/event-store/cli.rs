//! The command line: `event-store status | read | stream | verify | epoch`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::builder::{StringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use cli_kit::Usage;
use event_store::{AsOf, Epoch, EventType, Position, StreamName, Tag, Version};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Manages an event log: shows it, verifies it, and begins a new epoch.
///
/// Exit codes: 0 success, 1 the log has a problem, 2 wrong usage, 3 the command failed. To erase a
/// subject, use `command-api erase-subject`.
#[derive(Debug, Parser)]
#[command(name = "event-store", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// Print JSON: one value, or one line per event.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The address of the log.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// postgres://user:password@host:port/database
    #[arg(long, env = "EVENT_STORE_URL", hide_env_values = true, global = true,
        value_parser = StringValueParser::new().map(SecretString::from))]
    event_store_url: Option<SecretString>,
    /// A file that holds the URL.
    #[arg(long, env = "EVENT_STORE_URL_FILE", global = true, conflicts_with = "event_store_url")]
    event_store_url_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show epoch, head, digests and size.
    Status,
    /// Show events of the log after a position.
    Read(ReadArgs),
    /// Show the events of one stream.
    Stream(StreamArgs),
    /// Verify the whole log: positions, versions and digests, and that tags, reservations and keys
    /// agree with it.
    Verify,
    /// Show the epochs, or begin a new one.
    Epoch {
        #[command(subcommand)]
        action: Option<EpochAction>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Only events after this position.
    #[arg(long, default_value_t = 0)]
    pub(crate) after: i64,
    /// The maximum number of events.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Only events of this type; may be repeated.
    #[arg(long = "type")]
    pub(crate) types: Vec<EventType>,
    /// Only events with this tag; if repeated, events with all of them.
    #[arg(long = "tag")]
    pub(crate) tags: Vec<Tag>,
    /// Only events of streams of this category.
    #[arg(long, conflicts_with_all = ["types", "tags"])]
    pub(crate) category: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StreamArgs {
    /// The stream's name, such as order-0190….
    pub(crate) name: StreamName,
    /// Only events after this version.
    #[arg(long, default_value_t = 0)]
    pub(crate) after: i64,
    /// The maximum number of events.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Show the newest events first.
    #[arg(long, conflicts_with = "after")]
    pub(crate) backward: bool,
    /// Show the stream as of a moment: `version:7`, `position:1200`, or a time such as
    /// 2026-11-23T05:00:00Z.
    #[arg(long, value_name = "MOMENT", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EpochAction {
    /// Begin a new epoch after the head: this copy of the log continues as it is.
    ///
    /// Use it after a restore, or after a standby was promoted with commits missing. It needs the
    /// rights of the database's owner. Running processes follow by themselves.
    Begin {
        /// The reason, for people.
        #[arg(long, default_value = "not said")]
        reason: String,
        /// An epoch of another copy that this one replaces; may be repeated. A process that knows
        /// that epoch names it.
        #[arg(long = "abandon", value_parser = epoch)]
        abandoned: Vec<Epoch>,
        /// Do not ask for confirmation.
        #[arg(long)]
        yes: bool,
    },
}

impl LogArgs {
    /// Reads the URL from the option, the environment or the file.
    pub(crate) fn url(&self) -> anyhow::Result<SecretString> {
        let url = self.given()?;
        // The parser's error might repeat the URL with its password.
        if postgres_kit::is_address(url.expose_secret()) {
            return Ok(url);
        }
        Err(Usage("EVENT_STORE_URL is not a Postgres URL".to_owned()).into())
    }

    fn given(&self) -> anyhow::Result<SecretString> {
        match (&self.event_store_url, &self.event_store_url_file) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| {
                    Usage(format!("{} cannot be read: {error}", path.display()))
                })?;
                Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
            (None, None) => {
                let what = "EVENT_STORE_URL is not set: give it, --event-store-url or \
                    --event-store-url-file";
                Err(Usage(what.to_owned()).into())
            }
        }
    }
}

fn as_of(text: &str) -> Result<AsOf, String> {
    let number = |number: &str| {
        number.parse::<i64>().map_err(|error| format!("{number:?} is no number: {error}"))
    };
    if let Some(version) = text.strip_prefix("version:") {
        return number(version).map(|version| AsOf::Version(Version(version)));
    }
    if let Some(position) = text.strip_prefix("position:") {
        return number(position).map(|position| AsOf::Position(Position(position)));
    }
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| format!("neither version:N, position:N nor a time: {error}"))?;
    Ok(AsOf::Time(time.with_timezone(&Utc)))
}

fn epoch(text: &str) -> Result<Epoch, uuid::Error> {
    text.parse::<Uuid>().map(Epoch)
}

/// Makes connection options with the name under which Postgres lists the connections.
pub(crate) fn connect_options(
    url: &SecretString,
) -> anyhow::Result<sqlx::postgres::PgConnectOptions> {
    // The parser's error might repeat the URL with its password.
    let options = url.expose_secret().parse::<sqlx::postgres::PgConnectOptions>();
    Ok(options
        .map_err(|_| Usage("EVENT_STORE_URL is not a Postgres URL".to_owned()))?
        .application_name("event-store"))
}
