//! The erasure of a person in the schema `auth`.

use identity::{Revocations, Subject};
use service_kit::clock::SharedClock;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::auth::administrators::with_others;
use crate::auth::session::end::revoke;
use crate::auth::{Database, Identity, IdentityError};

/// The credentials of persons, to erase them.
#[derive(Clone)]
pub struct CredentialStore {
    /// The database of credentials.
    pub database: Database,
    /// What is revoked in this process.
    pub revocations: Revocations,
    /// The source of the current time.
    pub clock: SharedClock,
}

impl Identity {
    /// The store of these credentials.
    pub fn credential_store(&self) -> CredentialStore {
        let parts = self.parts();
        CredentialStore {
            database: parts.database.clone(),
            revocations: parts.revocations.clone(),
            clock: parts.clock.clone(),
        }
    }
}

impl CredentialStore {
    /// Deletes everything that is stored here of a person: password, roles, sessions, API keys,
    /// proofs and mails that wait. An account without any of it stays, so that none is opened
    /// again with this id. A repeat changes nothing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn erase(&self, user_id: Uuid) -> Result<(), IdentityError> {
        let now = self.clock.now();
        let erased = self.database.transaction(async |transaction| {
            // The row stays locked to the end. Whatever is added for the user locks it first.
            let account = sqlx::query!(
                "INSERT INTO auth.accounts AS a (user_id, created_at, password_changed_at,
                     erased_at)
                 VALUES ($1, $2, $2, $2)
                 ON CONFLICT (user_id) DO UPDATE SET password_hash = NULL,
                     erased_at = coalesce(a.erased_at, excluded.erased_at)",
                user_id,
                now
            );
            account.execute(&mut *transaction).await?;
            delete(transaction, user_id).await?;
            let now = self.clock.now();
            let tokens = std::iter::once(Subject::User(user_id));
            revoke(transaction, &self.revocations, tokens, now).await
        });
        Ok(erased.await?)
    }

    /// The other administrators, if the person is one.
    ///
    /// # Errors
    /// The database failed.
    pub async fn other_administrators(
        &self,
        user_id: Uuid,
    ) -> Result<Option<Vec<Uuid>>, IdentityError> {
        let pool = self.database.pool();
        let found = pool.run(async |connection| with_others(connection, &[user_id]).await);
        Ok(found.await?.map(|(_, others)| others))
    }

    /// The number of rows that hold something of a person.
    ///
    /// # Errors
    /// The database failed.
    pub async fn rows_of(&self, user_id: Uuid) -> Result<u64, IdentityError> {
        let count = sqlx::query_scalar!(
            r#"SELECT (SELECT count(*) FROM auth.accounts
                       WHERE user_id = $1 AND erased_at IS NULL)
                    + (SELECT count(*) FROM auth.memberships WHERE user_id = $1)
                    + (SELECT count(*) FROM auth.sessions WHERE user_id = $1)
                    + (SELECT count(*) FROM auth.api_keys WHERE user_id = $1)
                    + (SELECT count(*) FROM auth.pending WHERE user_id = $1)
                    + (SELECT count(*) FROM auth.mail_outbox WHERE user_id = $1) AS "count!""#,
            user_id
        );
        let count = count.fetch_one(self.database.pool()).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// Deletes the rows of a person. Mails go before the proofs that they carry.
async fn delete(transaction: &mut PgConnection, user_id: Uuid) -> Result<(), sqlx::Error> {
    let memberships = sqlx::query!("DELETE FROM auth.memberships WHERE user_id = $1", user_id);
    memberships.execute(&mut *transaction).await?;
    let sessions = sqlx::query!("DELETE FROM auth.sessions WHERE user_id = $1", user_id);
    sessions.execute(&mut *transaction).await?;
    let keys = sqlx::query!("DELETE FROM auth.api_keys WHERE user_id = $1", user_id);
    keys.execute(&mut *transaction).await?;
    let mails = sqlx::query!("DELETE FROM auth.mail_outbox WHERE user_id = $1", user_id);
    mails.execute(&mut *transaction).await?;
    let proofs = sqlx::query!("DELETE FROM auth.pending WHERE user_id = $1", user_id);
    proofs.execute(&mut *transaction).await.map(drop)
}
