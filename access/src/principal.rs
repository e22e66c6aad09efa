//! A principal: who a command is carried out for.
//!
//! Its text form goes into the metadata of events, so it is permanent: `anonymous`, or
//! `system:NAME`.

use std::fmt;
use std::str::FromStr;

/// The longest name of a part of the system, in bytes.
pub const MAX_NAME_LEN: usize = 64;

/// The text form of [`Principal::Anonymous`].
const ANONYMOUS: &str = "anonymous";
/// What the text form of [`Principal::System`] begins with.
const SYSTEM: &str = "system:";

/// Who acts.
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
    /// A caller about whom nothing is known: nobody signed in.
    Anonymous,
    /// A part of the system that acts by itself and for no person, such as a saga.
    System {
        /// The name of the part of the system, such as `process-manager`.
        name: SystemName,
    },
}

/// The name of a part of the system: 1 to [`MAX_NAME_LEN`] lower-case ASCII letters, digits and
/// hyphens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SystemName(String);

/// A text is not the name of a part of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a part of the system has 1 to {MAX_NAME_LEN} lower-case letters, digits and \
    hyphens"
)]
pub struct InvalidName;

/// A text is not a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrincipal {
    /// It has no form that a principal has.
    #[error("a principal is `anonymous` or `system:NAME`")]
    Form,
    /// It has the form of a part of the system, but another kind of name.
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl Principal {
    /// A part of the system.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn system(name: &str) -> Result<Self, InvalidName> {
        Ok(Self::System { name: name.parse()? })
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str(ANONYMOUS),
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
        let name = text.strip_prefix(SYSTEM).ok_or(InvalidPrincipal::Form)?;
        Ok(Self::system(name)?)
    }
}

impl SystemName {
    /// The name as a text.
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
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let fits = (1..=MAX_NAME_LEN).contains(&text.len()) && text.bytes().all(is_allowed);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
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
        for (principal, text) in texts.into_iter().chain([anonymous]) {
            assert_eq!(principal.to_string(), text);
            assert_eq!(text.parse(), Ok(principal));
        }
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in ["", "Anonymous", "anonymous ", "system", "user:ada", ":test"] {
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
