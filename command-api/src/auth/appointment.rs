//! Appoints an administrator from the command line, where nobody asks for a permission.
//!
//! The account and the role are one transaction, so a crash leaves both or none.

use access::Role;
use chrono::{DateTime, Utc};
use identity::{Revocations, Subject};
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::session::end::{Why, end_beyond, revoke};
use super::{Database, account, api_key};

/// What a user is, as far as log-ins know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Somebody without an account, who cannot log in.
    NoAccount,
    /// Somebody with an account, who is not an administrator.
    Account,
    /// An administrator.
    Administrator,
}

/// What an appointment did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appointed {
    /// The user has a new account with the password, and the role.
    Opened,
    /// Somebody with an account has the role; their sessions and API keys ended.
    TakenOver,
    /// The user was an administrator already. Nothing changed.
    Unchanged,
    /// The user had an account, which was not to be taken over. Nothing changed.
    Refused,
}

/// Returns what the user is.
///
/// # Errors
/// The database failed.
pub async fn known(database: &Database, user_id: Uuid) -> Result<Known, sqlx::Error> {
    database.pool().run(async |connection| read(connection, user_id).await).await
}

/// Opens an account for the user and gives them the role `admin`. If they have an account and
/// `takes_over` is set, all its sessions end and its API keys are revoked. Its password stays.
///
/// # Errors
/// The database failed.
pub async fn appoint(
    database: &Database,
    user_id: Uuid,
    password_hash: &str,
    takes_over: bool,
    now: DateTime<Utc>,
) -> Result<Appointed, sqlx::Error> {
    let appointed = database.transaction(async |transaction| {
        let is_new = account::open(transaction, user_id, password_hash, now).await?;
        // No session begins and no key is made until the transaction ends.
        account::lock(transaction, user_id).await?;
        let appointed = match (read(transaction, user_id).await?, is_new) {
            (Known::Administrator, _) => return Ok(Appointed::Unchanged),
            (_, true) => Appointed::Opened,
            (_, false) if takes_over => {
                end_credentials(transaction, user_id, now).await?;
                Appointed::TakenOver
            }
            (_, false) => return Ok(Appointed::Refused),
        };
        account::give_role(transaction, user_id, Role::ADMIN).await?;
        Ok(appointed)
    });
    appointed.await
}

async fn read(connection: &mut PgConnection, user_id: Uuid) -> Result<Known, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM auth.accounts WHERE user_id = $1) AS "has_account!",
             EXISTS (SELECT FROM auth.memberships
               WHERE user_id = $1 AND role = $2) AS "is_admin!""#,
        user_id,
        Role::ADMIN
    );
    let found = found.fetch_one(connection).await?;
    Ok(match (found.has_account, found.is_admin) {
        (_, true) => Known::Administrator,
        (true, false) => Known::Account,
        (false, false) => Known::NoAccount,
    })
}

/// Ends what the holder of an account could still act with. The running processes learn it from
/// the table.
async fn end_credentials(
    transaction: &mut PgConnection,
    user_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let revocations = Revocations::default();
    end_beyond(transaction, &revocations, user_id, 0, Why::Revoked, now).await?;
    let keys = api_key::revoke_made_by(transaction, user_id, None, now).await?;
    let tokens = keys.into_iter().map(Subject::Key).chain([Subject::User(user_id)]);
    revoke(transaction, &revocations, tokens, now).await
}
