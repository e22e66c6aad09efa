//! Stream names and versions within a stream.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::InvalidName;

/// The maximum length of a category, in bytes.
pub const MAX_CATEGORY_LEN: usize = 64;
/// The maximum length of a stream id, in bytes.
pub const MAX_STREAM_ID_LEN: usize = 128;

/// The name of a stream: a category (`order`) and an id within it, written `order-0190…`.
///
/// The category is `[a-z][a-z0-9_]*` and the id `[A-Za-z0-9_-]+`, so the text form splits at its
/// first `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName {
    text: Box<str>,
    category_len: usize,
}

impl StreamName {
    /// Makes the name of the stream `id` of `category`.
    ///
    /// # Errors
    /// [`InvalidName`] when either half is empty, too long or has a character outside its alphabet.
    pub fn new(category: &str, id: impl fmt::Display) -> Result<Self, InvalidName> {
        format!("{category}-{id}").parse()
    }

    /// The category: the text before the first `-`.
    pub fn category(&self) -> &str {
        &self.text[..self.category_len]
    }

    /// The id: the text after the first `-`.
    pub fn id(&self) -> &str {
        &self.text[self.category_len + 1..]
    }

    /// The full name, as in `order-0190…`.
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

/// Whether `text` is a valid category: `[a-z][a-z0-9_]*`, at most [`MAX_CATEGORY_LEN`] bytes.
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

/// A version within a stream. Versions are dense from 1 (promise P2); 0 means "no event yet".
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub i64);

impl Version {
    /// The version of a stream without events.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The version of a stream that an append requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// No requirement: the append is accepted at any version.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's last event has exactly this version.
    Exact(Version),
    /// The stream's last event has exactly this version and this id.
    ///
    /// It is for an append that was decided on an event whose own append has no answer yet. The
    /// version alone is not enough: if that event is refused, another one can take its version.
    Behind {
        /// The version that the stream must have.
        version: Version,
        /// The id of the stream's last event.
        event_id: Uuid,
    },
}

impl ExpectedVersion {
    /// The id that the stream's last event must have, if the append names one.
    pub(crate) const fn event_id(&self) -> Option<Uuid> {
        match self {
            Self::Behind { event_id, .. } => Some(*event_id),
            Self::Any | Self::NoStream | Self::StreamExists | Self::Exact(_) => None,
        }
    }
}
