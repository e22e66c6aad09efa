//! Opens and locks the rows of accounts, and gives them roles.
//!
//! A transaction that changes rows of a user locks the account first, and then other rows. So no
//! two transactions wait for each other. The row of an erased person does not count as an account.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

/// Opens an account. Returns false, and changes nothing, if the user has one or is erased.
///
/// # Errors
/// The database failed.
pub async fn open(
    connection: &mut PgConnection,
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
    Ok(opened.execute(connection).await?.rows_affected() == 1)
}

/// Gives a user a role, without a check of permissions. Returns false if they hold it already.
///
/// # Errors
/// The database failed, or there is no such account or role.
pub async fn give_role(
    connection: &mut PgConnection,
    user_id: Uuid,
    role: &str,
) -> Result<bool, sqlx::Error> {
    let given = sqlx::query!(
        "INSERT INTO auth.memberships (user_id, role) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        user_id,
        role
    );
    Ok(given.execute(connection).await?.rows_affected() == 1)
}

/// Keeps an account and its roles as they are until the transaction ends. So a token that the
/// transaction issues is older than a revocation that follows. Returns false if there is no such
/// account.
///
/// # Errors
/// The database failed.
pub(super) async fn hold(
    transaction: &mut PgConnection,
    user_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let account = sqlx::query_scalar!(
        "SELECT user_id FROM auth.accounts WHERE user_id = $1 AND erased_at IS NULL FOR SHARE",
        user_id
    );
    Ok(account.fetch_optional(transaction).await?.is_some())
}

/// Does the same as [`hold`], if the stored hash of the password is still this one.
///
/// # Errors
/// The database failed.
pub(super) async fn hold_with_password(
    transaction: &mut PgConnection,
    user_id: Uuid,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let account = sqlx::query_scalar!(
        "SELECT user_id FROM auth.accounts WHERE user_id = $1 AND password_hash = $2 FOR SHARE",
        user_id,
        password_hash
    );
    Ok(account.fetch_optional(transaction).await?.is_some())
}

/// Waits until nobody holds the account ([`hold`]) or changes it, and lets nobody do so until the
/// transaction ends. Returns false if there is no such account.
///
/// # Errors
/// The database failed.
pub(super) async fn lock(
    transaction: &mut PgConnection,
    user_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let account = sqlx::query_scalar!(
        "SELECT user_id FROM auth.accounts
         WHERE user_id = $1 AND erased_at IS NULL FOR NO KEY UPDATE",
        user_id
    );
    Ok(account.fetch_optional(transaction).await?.is_some())
}
