//! Command-line settings that all processes share. Flags take precedence over the environment.
//! Secrets come from a flag, a variable or a file (`*_FILE`), and are never printed.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

pub use crate::http::listen::{Callers, Listen, ListenAddr, ListenRefused, TlsArgs};
use crate::http::{
    Allowed, BodyBudget, ForwardedHeader, Limits, MAX_BODY_BYTES, MAX_CONNECTIONS,
    MAX_CONNECTIONS_PER_ADDRESS, RateSettings, TrustedProxies,
};
pub use crate::loopback::{ListenError, LoopbackAddr, Malformed, is_loopback_host};

mod pools;
mod public_url;
mod versions;

pub use pools::{ReaderPoolArgs, WriterPoolArgs};
pub use public_url::{PublicUrl, PublicUrlError};
pub use versions::VersionArgs;

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// The setting is on.
    Enabled,
    /// The setting is off.
    Disabled,
}

/// Why a secret is not available. Never contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Neither the variable nor the file is set.
    #[error("{0} is not set: give --{1}, {0} or {0}_FILE")]
    Missing(&'static str, &'static str),
    /// Both are set, so it is unclear which one counts.
    #[error("both {0} and {0}_FILE are set: give one of them")]
    Both(&'static str),
    /// The file cannot be read.
    #[error("{0}_FILE names {path}, which cannot be read", path = .1.display())]
    Unreadable(&'static str, PathBuf, #[source] std::io::Error),
    /// The secret is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The text is not a database address. The error does not repeat it, because it may hold a
    /// password.
    #[error("{0} is not an address such as postgres://user:password@host:port/database")]
    NotAnAddress(&'static str),
}

/// The default of `RATE_LIMITS`: far above what a person's pages send, far below what one process
/// can answer.
const DEFAULT_RATES: &str = "100/1000";

/// The secrets named `…_URL` that are not database addresses.
const BROKER_URLS: [&str; 2] = ["NATS_URL", "RABBITMQ_URL"];

/// Reads a secret from its value or its file. Trailing line ends of the file are dropped.
///
/// # Errors
/// [`SecretError`]: neither or both are given, the file is unreadable, the secret is empty, or a
/// setting named `…_URL` is not a database address.
pub fn resolve_secret(
    env: &'static str,
    flag: &'static str,
    value: Option<&SecretString>,
    file: Option<&Path>,
) -> Result<SecretString, SecretError> {
    use secrecy::ExposeSecret;
    let secret = match (value, file) {
        (Some(_), Some(_)) => return Err(SecretError::Both(env)),
        (Some(value), None) => value.clone(),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| SecretError::Unreadable(env, path.to_owned(), source))?;
            SecretString::from(text.trim_end_matches(['\r', '\n']))
        }
        (None, None) => return Err(SecretError::Missing(env, flag)),
    };
    if secret.expose_secret().is_empty() {
        return Err(SecretError::Empty(env));
    }
    // Checked here so that a typo is reported as a wrong setting.
    let is_database = env.ends_with("_URL") && !BROKER_URLS.contains(&env);
    if is_database && !postgres_kit::is_address(secret.expose_secret()) {
        return Err(SecretError::NotAnAddress(env));
    }
    Ok(secret)
}

/// Parses a secret for clap.
///
/// # Errors
/// None: any text can be a secret.
pub fn parse_secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

/// Defines the clap arguments of one secret: the flag, its variable, and a file that holds it.
/// Flatten the struct into the process's arguments and call `get` or `optional`.
///
/// ```
/// service_kit::secret_args!(
///     /// The database's URL.
///     ExampleUrl, "example-url", "EXAMPLE_URL", "example-url-file", "EXAMPLE_URL_FILE"
/// );
/// #[derive(clap::Parser)]
/// struct Args {
///     #[command(flatten)]
///     url: ExampleUrl,
/// }
/// use clap::Parser as _;
/// use secrecy::ExposeSecret as _;
/// let args = Args::parse_from(["program", "--example-url", "postgres://me:secret@localhost/db"]);
/// assert!(!format!("{:?}", args.url).contains("secret@"));
/// assert_eq!(args.url.get().unwrap().expose_secret(), "postgres://me:secret@localhost/db");
/// ```
#[macro_export]
macro_rules! secret_args {
    ($(#[$doc:meta])* $name:ident, $flag:literal, $env:literal, $file_flag:literal,
        $file_env:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, ::clap::Args)]
        pub struct $name {
            $(#[$doc])*
            #[arg(id = $flag, long = $flag, env = $env, hide_env_values = true,
                value_name = "SECRET",
                  value_parser = $crate::config::parse_secret)]
            value: Option<::secrecy::SecretString>,
            /// A file that holds the secret instead.
            #[arg(id = $file_flag, long = $file_flag, env = $file_env, value_name = "FILE")]
            file: Option<::std::path::PathBuf>,
        }

        impl $name {
            /// Returns the secret.
            ///
            /// # Errors
            /// The secret is missing, given twice, unreadable or empty.
            pub fn get(&self) -> ::std::result::Result<::secrecy::SecretString,
                $crate::config::SecretError> {
                $crate::config::resolve_secret($env, $flag, self.value.as_ref(),
                    self.file.as_deref())
            }

            /// Returns the secret, or `None` if it is not set.
            ///
            /// # Errors
            /// The secret is given twice, unreadable or empty.
            pub fn optional(&self) -> ::std::result::Result<
                ::std::option::Option<::secrecy::SecretString>,
                $crate::config::SecretError,
            > {
                if self.value.is_none() && self.file.is_none() {
                    return Ok(None);
                }
                self.get().map(Some)
            }
        }
    };
}

secret_args!(
    /// The key that signs consistency tokens, shared by both APIs: base64, at least 32 bytes.
    TokenKeyArgs, "token-key", "TOKEN_KEY", "token-key-file", "TOKEN_KEY_FILE"
);

secret_args!(
    /// The address of NATS, with user and password: nats://user:password@host:port.
    NatsUrlArgs, "nats-url", "NATS_URL", "nats-url-file", "NATS_URL_FILE"
);

/// The log settings.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// Filter for log lines, such as info or my_crate=debug,info.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
}

/// By which names a port may be called, and from which web pages.
#[derive(Debug, Clone, clap::Args)]
pub struct AllowedArgs {
    /// Names that the server may be called by, separated by commas, besides `localhost` and IP
    /// addresses. The word `any` allows every name.
    #[arg(long, env = "ALLOWED_HOSTS", default_value = "")]
    pub allowed_hosts: crate::http::Hosts,
    /// Origins that browsers may call from, separated by commas. The word `loopback` allows any
    /// port of this machine.
    #[arg(long, env = "ALLOWED_ORIGINS", default_value = "")]
    pub allowed_origins: crate::http::Origins,
}

impl AllowedArgs {
    /// Returns what the HTTP layers allow.
    pub fn allowed(&self) -> Allowed {
        let Self { allowed_hosts: hosts, allowed_origins: origins } = self.clone();
        Allowed { hosts, origins }
    }
}

/// How often a client may ask.
#[derive(Debug, Clone, clap::Args)]
pub struct RateArgs {
    /// Requests per second of one client, as RATE or RATE/BURST, or `off`. Single operations may
    /// have their own rate after a comma, as OPERATION=RATE/BURST. A client is the user, and
    /// without one the address.
    #[arg(long, env = "RATE_LIMITS", default_value = DEFAULT_RATES)]
    pub rate_limits: RateSettings,
}

/// The limits of a public port.
#[derive(Debug, Clone, clap::Args)]
pub struct LimitArgs {
    /// Maximum number of open connections. Beyond it, the connection that was idle longest is
    /// closed; if all are busy, the new one gets a 503.
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = MAX_CONNECTIONS,
        value_parser = at_least_one)]
    pub max_connections: usize,
    /// Maximum number of connections per client address (for IPv6: per network of 64 bits), and of
    /// concurrent requests per client behind a trusted proxy.
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", default_value_t = MAX_CONNECTIONS_PER_ADDRESS,
        value_parser = at_least_one)]
    pub max_connections_per_address: usize,
    /// Maximum number of request body bytes held at once. A request that needs more gets a 503.
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = MAX_BODY_BYTES,
        value_parser = at_least_one)]
    pub max_body_bytes: usize,
    /// Proxies that are trusted to name the client, separated by commas: addresses or networks such
    /// as 10.0.0.0/8. Their connections do not count by address.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: TrustedProxies,
    /// The header in which they name it. The other one is ignored, because they may pass it on as
    /// the client sent it.
    #[arg(long, env = "FORWARDED_HEADER", value_enum, default_value = "x-forwarded-for")]
    pub forwarded_header: ForwardedHeader,
}

impl LimitArgs {
    /// Checks where the public port listens, which `setting` says.
    ///
    /// # Errors
    /// [`ListenRefused`]: its callers would not be protected.
    pub fn listen(
        &self,
        at: (&'static str, ListenAddr),
        callers: Callers,
        tls: &TlsArgs,
    ) -> Result<Listen, ListenRefused> {
        Listen::checked(at, callers, tls, &self.trusted_proxies)
    }

    /// Returns the limits as the HTTP server takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_connections,
            per_address: self.max_connections_per_address,
            trusted_proxies: self.trusted_proxies.clone(),
            forwarded_header: self.forwarded_header,
            bodies: BodyBudget::new(self.max_body_bytes),
            ..Limits::default()
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "expected a whole number of at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_comes_from_its_file_without_the_last_line_end() {
        let path = std::env::temp_dir().join(format!("secret-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, "s3cret\n").unwrap();
        let secret = resolve_secret("KEY", "key", None, Some(&path)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(secret.expose_secret(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_that_is_absent_or_given_twice_is_refused_by_name() {
        let value = SecretString::from("a");
        assert!(matches!(
            resolve_secret("KEY", "key", None, None),
            Err(SecretError::Missing("KEY", "key"))
        ));
        assert!(matches!(
            resolve_secret("KEY", "key", Some(&value), Some(Path::new("/x"))),
            Err(SecretError::Both("KEY"))
        ));
    }

    #[test]
    fn an_address_that_is_none_is_refused_by_name_and_not_shown() {
        let value = SecretString::from("canary");
        let refused =
            resolve_secret("STORE_URL", "store-url", Some(&value), None).unwrap_err().to_string();
        assert!(refused.contains("STORE_URL") && !refused.contains("canary"), "{refused}");
        let address = SecretString::from("postgres://me@localhost/db");
        assert!(resolve_secret("STORE_URL", "store-url", Some(&address), None).is_ok());
    }
}
