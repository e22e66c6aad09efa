//! The access tokens of the benchmark's clients, signed with the key that the processes know.

use stack::token::{self, Tokens};
use uuid::Uuid;

use crate::launched::issuer;

/// The value of `Authorization` for a user who may do everything. It is valid for minutes, so each
/// round gets new ones.
pub(in crate::bench) fn bearer(user: Uuid) -> anyhow::Result<String> {
    let tokens = Tokens::new(issuer()?, token::holder(user, "admin")?);
    Ok(format!("Bearer {}", tokens.current()?))
}
