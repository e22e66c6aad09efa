//! The principal: who a command is carried out for.
//!
//! The text form of a principal is stored in the metadata of events, so it is permanent. It is
//! `anonymous`, `user:ID` or `system:NAME`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::name::{self, is_name};

/// The maximum length of a [`SystemName`], in bytes.
pub const MAX_NAME_LEN: usize = name::MAX_LEN;

/// The text form of [`Principal::Anonymous`].
const ANONYMOUS: &str = "anonymous";
/// The prefix of the text form of [`Principal::User`].
const USER: &str = "user:";
/// The prefix of the text form of [`Principal::System`].
const SYSTEM: &str = "system:";

/// Who a command is carried out for.
///
/// ```
/// use access::Principal;
///
/// let importer = Principal::system("importer")?;
/// assert_eq!(importer.to_string(), "system:importer");
/// assert_eq!("system:importer".parse(), Ok(importer));
/// assert_eq!("anonymous".parse(), Ok(Principal::Anonymous));
/// # Ok::<(), access::InvalidName>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A caller that is not signed in.
    Anonymous,
    /// A person who has signed in, or a program with a key of theirs.
    User {
        /// The id of the user.
        id: Uuid,
    },
    /// A part of the system that acts on its own, not for a person. A saga is an example.
    System {
        /// The name of the part of the system, such as `process-manager`.
        name: SystemName,
    },
}

/// The name of a part of the system.
///
/// It has 1 to [`MAX_NAME_LEN`] lower-case ASCII letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SystemName(String);

/// The error for a text that is not a [`SystemName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a part of the system has 1 to {MAX_NAME_LEN} lower-case letters, digits and \
    hyphens"
)]
pub struct InvalidName;

/// Why a text is not a [`Principal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrincipal {
    /// The text is none of the forms.
    #[error("a principal is `anonymous`, `user:ID` or `system:NAME`")]
    Form,
    /// The text starts with `system:`, but the name after it is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Principal {
    /// The principal for the part of the system with this name.
    ///
    /// # Errors
    /// [`InvalidName`] if `name` is not a valid [`SystemName`].
    pub fn system(name: &str) -> Result<Self, InvalidName> {
        Ok(Self::System { name: name.parse()? })
    }

    /// Whether a reader could take this text for a principal: it begins like one, in any letter
    /// case. Such a text proves nothing unless it comes from a token.
    pub fn is_resembled_by(text: &str) -> bool {
        let text = text.trim().to_ascii_lowercase();
        text.starts_with(USER) || text.starts_with(SYSTEM) || text == ANONYMOUS
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str(ANONYMOUS),
            Self::User { id } => write!(f, "{USER}{id}"),
            Self::System { name } => write!(f, "{SYSTEM}{name}"),
        }
    }
}

impl FromStr for Principal {
    type Err = InvalidPrincipal;

    fn from_str(text: &str) -> Result<Self, InvalidPrincipal> {
        if text == ANONYMOUS {
            return Ok(Self::Anonymous);
        }
        if let Some(text) = text.strip_prefix(USER) {
            let id = text.parse::<Uuid>().ok().filter(|id| id.to_string() == text);
            return id.map(|id| Self::User { id }).ok_or(InvalidPrincipal::Form);
        }
        let name = text.strip_prefix(SYSTEM).ok_or(InvalidPrincipal::Form)?;
        Ok(Self::system(name)?)
    }
}

impl SystemName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SystemName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SystemName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_principal_is_read_back_from_its_text() {
        let longest = "n".repeat(MAX_NAME_LEN);
        let systems = ["test", "process-manager", "a1", "-", longest.as_str()];
        let texts =
            systems.map(|name| (Principal::system(name).unwrap(), format!("system:{name}")));
        let anonymous = (Principal::Anonymous, "anonymous".to_owned());
        let id = Uuid::from_u128(7);
        let user = (Principal::User { id }, format!("user:{id}"));
        for (principal, text) in texts.into_iter().chain([anonymous, user]) {
            assert_eq!(principal.to_string(), text);
            assert_eq!(text.parse(), Ok(principal));
        }
    }

    #[test]
    fn any_other_text_is_refused() {
        let braces = "user:{00000000-0000-0000-0000-000000000007}";
        let upper = "user:0000000A-0000-0000-0000-000000000007";
        for text in ["", "Anonymous", "anonymous ", "system", "user:ada", ":test", braces, upper] {
            assert_eq!(text.parse::<Principal>(), Err(InvalidPrincipal::Form), "{text:?}");
        }
        let long = "n".repeat(MAX_NAME_LEN + 1);
        for name in ["", "Test", "a b", "ä", "a:b", "a\0", "a_b", &long] {
            let text = format!("system:{name}");
            assert_eq!(text.parse::<Principal>(), Err(InvalidName.into()), "{text:?}");
            assert_eq!(Principal::system(name), Err(InvalidName), "{name:?}");
        }
    }
}
