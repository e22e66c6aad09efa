//! E-mail addresses.

use serde::{Deserialize, Serialize};

/// An address with one `@`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);
