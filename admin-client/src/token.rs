//! The access token of the caller. It is never an argument, because any user can see arguments.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use reqwest::Url;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::config::{SecretError, is_loopback_host, resolve_secret};

use crate::RemoteError;

/// The variable that holds a token.
const VARIABLE: &str = "DAYBOOK_TOKEN";
/// The flag that names the file of a token.
const FLAG: &str = "token-file";

/// The settings that name the access token of the caller.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenArgs {
    /// A file that holds your access token. It is read for every request, so a new token can
    /// replace it while an operation runs. Without this setting, DAYBOOK_TOKEN holds the token.
    #[arg(long, env = "DAYBOOK_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The access token of the caller, if there is one.
#[derive(Debug, Clone, Default)]
pub enum Token {
    /// There is none.
    #[default]
    Absent,
    /// The token itself.
    Text(SecretString),
    /// The path of the file that holds the token. It is read for every request.
    File(PathBuf),
}

impl TokenArgs {
    /// The token of the settings.
    ///
    /// # Errors
    /// [`RemoteError::Setting`] if there are two, or the file cannot be read.
    /// [`RemoteError::NotAToken`] if the text is not a token.
    pub fn token(&self) -> Result<Token, RemoteError> {
        self.or(std::env::var_os(VARIABLE))
    }

    /// The token of the flag, or this value of the variable. An empty variable counts as absent.
    fn or(&self, variable: Option<OsString>) -> Result<Token, RemoteError> {
        let variable = variable.filter(|value| !value.is_empty());
        let token = match (&self.token_file, variable) {
            (None, None) => return Ok(Token::Absent),
            (Some(_), Some(_)) => return Err(SecretError::Both(VARIABLE).into()),
            (Some(path), None) => Token::File(path.clone()),
            (None, Some(text)) => {
                let text = text.into_string().map_err(|_| RemoteError::NotAToken)?;
                Token::Text(text.into())
            }
        };
        token.header()?;
        Ok(token)
    }
}

impl Token {
    /// Whether there is a token.
    pub const fn is_there(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// The value of `Authorization`, if there is a token.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, RemoteError> {
        let (text, file): (_, Option<&Path>) = match self {
            Self::Absent => return Ok(None),
            Self::Text(text) => (Some(text), None),
            Self::File(path) => (None, Some(path)),
        };
        let token = resolve_secret(VARIABLE, FLAG, text, file)?;
        let token = token.expose_secret().trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let value = HeaderValue::try_from(format!("Bearer {token}")).ok().filter(|_| is_token);
        let mut value = value.ok_or(RemoteError::NotAToken)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Whether nobody on the way can read what is sent to this address: it is `https`, or `http` on
/// this machine.
pub(crate) fn is_private(address: &str) -> bool {
    let Ok(url) = address.parse::<Url>() else { return false };
    match url.scheme() {
        "https" => true,
        "http" => url.host_str().is_some_and(is_loopback_host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn args(token_file: Option<&Path>) -> TokenArgs {
        TokenArgs { token_file: token_file.map(Path::to_owned) }
    }

    #[test]
    fn a_token_is_in_the_variable_or_in_a_file_but_not_in_both() {
        assert!(!args(None).or(None).unwrap().is_there());
        assert!(!args(None).or(Some("".into())).unwrap().is_there());
        let token = args(None).or(Some("a.b.c".into())).unwrap();
        assert_eq!(token.header().unwrap().unwrap(), "Bearer a.b.c");
        assert!(!format!("{token:?}").contains("a.b.c"));

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "d.e.f\n").unwrap();
        let token = args(Some(file.path())).or(None).unwrap();
        assert_eq!(token.header().unwrap().unwrap(), "Bearer d.e.f");
        std::fs::write(file.path(), "g.h.i\n").unwrap();
        assert_eq!(token.header().unwrap().unwrap(), "Bearer g.h.i", "it is read again");

        let both = args(Some(file.path())).or(Some("a".into()));
        assert!(matches!(both, Err(RemoteError::Setting(SecretError::Both(_)))), "{both:?}");
        let absent = args(Some(Path::new("nowhere/token"))).or(None);
        assert!(matches!(absent, Err(RemoteError::Setting(_))), "{absent:?}");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        for text in ["can ary", "canary\nx", "canäry", " "] {
            let refused = args(None).or(Some(text.into())).unwrap_err();
            assert!(matches!(refused, RemoteError::NotAToken), "{refused:?}");
            assert!(!format!("{refused} {refused:?}").contains("can"), "{refused:?}");
        }
    }

    #[test]
    fn a_token_is_sent_on_this_machine_or_under_tls_only() {
        for address in
            ["http://127.0.0.1:9083", "http://[::1]:1", "http://localhost", "https://a.b"]
        {
            assert!(is_private(address), "{address}");
        }
        for address in
            ["http://a.b", "http://10.0.0.1:9083", "http://localhost.a.b", "ftp://127.0.0.1", "x"]
        {
            assert!(!is_private(address), "{address}");
        }
    }
}
