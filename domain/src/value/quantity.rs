//! How many.

use serde::{Deserialize, Serialize};

/// How many of a product, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(u32);
