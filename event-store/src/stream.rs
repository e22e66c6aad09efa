//! Names of streams and the versions within them.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::InvalidName;

/// Longest category, in bytes.
pub const MAX_CATEGORY_LEN: usize = 64;
/// Longest stream id, in bytes.
pub const MAX_STREAM_ID_LEN: usize = 128;

/// One stream: a category (`order`) and an id within it, written `order-0190…`.
///
/// The category is `[a-z][a-z0-9_]*`, the id `[A-Za-z0-9_-]+`, so that the text form splits at its
/// first `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName {
    text: Box<str>,
    category_len: usize,
}

impl StreamName {
    /// Names the stream `id` of `category`.
    ///
    /// # Errors
    /// [`InvalidName`] when either half is empty, too long or has a character outside its alphabet.
    pub fn new(category: &str, id: impl fmt::Display) -> Result<Self, InvalidName> {
        format!("{category}-{id}").parse()
    }

    /// What stands before the first `-`.
    pub fn category(&self) -> &str {
        &self.text[..self.category_len]
    }

    /// What stands after the first `-`.
    pub fn id(&self) -> &str {
        &self.text[self.category_len + 1..]
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for StreamName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName::new("stream", text);
        let (category, id) = text.split_once('-').ok_or_else(invalid)?;
        let category_ok = is_category(category);
        let id_ok = (1..=MAX_STREAM_ID_LEN).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if category_ok && id_ok {
            Ok(Self { text: text.into(), category_len: category.len() })
        } else {
            Err(invalid())
        }
    }
}

/// Whether `text` may be a category: `[a-z][a-z0-9_]*`, at most [`MAX_CATEGORY_LEN`] bytes.
pub fn is_category(text: &str) -> bool {
    text.len() <= MAX_CATEGORY_LEN
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl TryFrom<String> for StreamName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.text.into()
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A version within a stream: dense from 1 (promise P2); 0 means "no event yet".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub i64);

impl Version {
    /// Before the first event.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an append requires of a stream's version before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// No expectation: the append is accepted in any version.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's last event has exactly this version.
    Exact(Version),
    /// The stream's last event has exactly this version and this id.
    ///
    /// This is for an append that was decided on an event which is itself still on its way. The
    /// version alone would not do: were that event refused, another one could take its version.
    Behind {
        /// The version that the stream must have.
        version: Version,
        /// The id of the event.
        event_id: Uuid,
    },
}

impl ExpectedVersion {
    /// The event that must be the stream's last, where the append names one.
    pub(crate) const fn event_id(&self) -> Option<Uuid> {
        match self {
            Self::Behind { event_id, .. } => Some(*event_id),
            Self::Any | Self::NoStream | Self::StreamExists | Self::Exact(_) => None,
        }
    }
}
