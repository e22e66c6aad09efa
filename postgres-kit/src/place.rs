//! Adds the database's address to errors, because a process may use several databases.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;

use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::postgres::PgConnectOptions;

/// Whether a text is a valid database address. The parser's own error is not used, because it might
/// repeat the text, and with it a password.
pub fn is_address(text: &str) -> bool {
    text.parse::<PgConnectOptions>().is_ok()
}

/// Host, port and database, for people. Never contains the user or the password.
pub fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let socket = options.get_socket().map(|socket| socket.display().to_string());
    format!("{}:{}/{database}", socket.as_deref().unwrap_or(options.get_host()), options.get_port())
}

/// Prefixes an error's text with the place. The kind of error stays the same.
pub fn named(place: &str, error: Error) -> Error {
    match error {
        Error::Io(error) => Error::Io(io::Error::new(error.kind(), format!("{place}: {error}"))),
        Error::Tls(error) => Error::Tls(format!("{place}: {error}").into()),
        Error::Database(error) => {
            Error::Database(Box::new(Named { text: format!("{place}: {error}"), error }))
        }
        error => error,
    }
}

/// A Postgres error with the place in its text.
#[derive(Debug)]
struct Named {
    text: String,
    error: Box<dyn DatabaseError>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Named {}

impl DatabaseError for Named {
    fn message(&self) -> &str {
        self.error.message()
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.error.code()
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::time::Duration;

    use crate::{is_silent, named, place, silent};

    #[test]
    fn an_error_names_host_port_and_database_but_no_secret_and_keeps_its_kind() {
        let options = "postgres://me:canary@db.example:6543/books".parse().unwrap();
        let error = named(&place(&options), silent(Duration::from_secs(1)));
        assert!(
            error.to_string().contains("db.example:6543/books: Postgres did not answer"),
            "{error}"
        );
        assert!(is_silent(&error) && !error.to_string().contains("canary"), "{error}");
    }
}
