//! Accounts: who may sign in, and with which password.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Database;

/// Opens an account. Returns false, and changes nothing, if the user has one
/// or is erased.
///
/// # Errors
/// The database failed.
pub async fn open(
    database: &Database,
    user_id: Uuid,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let opened = sqlx::query!(
        "INSERT INTO auth.accounts (user_id, password_hash, created_at, password_changed_at)
         VALUES ($1, $2, $3, $3) ON CONFLICT (user_id) DO NOTHING",
        user_id,
        password_hash,
        now
    );
    Ok(opened.execute(database.pool()).await?.rows_affected() == 1)
}

/// Whether the user has an account.
///
/// # Errors
/// The database failed.
pub async fn is_open(database: &Database, user_id: Uuid) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "SELECT user_id FROM auth.accounts WHERE user_id = $1 AND erased_at IS NULL",
        user_id
    );
    Ok(found.fetch_optional(database.pool()).await?.is_some())
}

/// Gives a user a role without asking for a permission, for the first administrator.
///
/// # Errors
/// The database failed, or there is no such account or role.
pub async fn give_role(database: &Database, user_id: Uuid, role: &str) -> Result<(), sqlx::Error> {
    let given = sqlx::query!(
        "INSERT INTO auth.memberships (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        user_id,
        role
    );
    given.execute(database.pool()).await.map(drop)
}
