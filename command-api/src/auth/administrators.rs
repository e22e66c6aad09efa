//! The administrators. At least one of them can always sign in, so that somebody can still grant
//! roles.
//!
//! The event store deactivates users, and this database takes roles. A lock in this database covers
//! both. It excludes other processes, too.

use std::convert::Infallible;

use access::Role;
use sqlx::postgres::PgConnection;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::user_access::UserAccess;
use super::{Directory, IdentityError};

/// The administrators stay as they are while this exists, but for at most the time limit of a
/// transaction.
pub(super) type Held = oneshot::Sender<Infallible>;

/// Waits until no other transaction changes who administrates. The name of the lock is permanent.
pub(super) async fn lock(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    let lock = sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('auth roles', 0))");
    lock.execute(transaction).await.map(drop)
}

/// The administrator among the users who leave, if no administrator who may sign in would be left.
/// Take the lock first.
///
/// # Errors
/// One of the stores does not answer.
pub(super) async fn last(
    transaction: &mut PgConnection,
    directory: &Directory,
    leaving: &[Uuid],
) -> Result<Option<Uuid>, IdentityError> {
    let Some((last, others)) = with_others(transaction, leaving).await? else { return Ok(None) };
    for other in others {
        if directory.may_sign_in(other).await? {
            return Ok(None);
        }
    }
    Ok(Some(last))
}

/// The last administrator in the list of users who leave, and all administrators who stay. `None`
/// if no administrator leaves.
///
/// # Errors
/// The database failed.
pub(super) async fn with_others(
    connection: &mut PgConnection,
    leaving: &[Uuid],
) -> Result<Option<(Uuid, Vec<Uuid>)>, sqlx::Error> {
    let holders =
        sqlx::query_scalar!("SELECT user_id FROM auth.memberships WHERE role = $1", Role::ADMIN);
    let (gone, others): (Vec<_>, Vec<_>) =
        holders.fetch_all(connection).await?.into_iter().partition(|user| leaving.contains(user));
    // The users leave in this sequence, so the last administrator is the one who must stay.
    let last = leaving.iter().rev().find(|user| gone.contains(user));
    Ok(last.map(|last| (*last, others)))
}

impl UserAccess {
    /// Takes the lock. Returns it with the result of [`last`].
    ///
    /// # Errors
    /// One of the stores does not answer.
    pub(super) async fn hold_administrators(
        &self,
        leaving: Vec<Uuid>,
    ) -> Result<(Held, Option<Uuid>), IdentityError> {
        let (answer, answered) = oneshot::channel();
        let (held, released) = oneshot::channel::<Infallible>();
        let Self { database, directory, .. } = self.clone();
        // The transaction has its own task: its time limit must not end the caller's work.
        tokio::spawn(async move {
            let mut answer = Some(answer);
            let result = database.transaction(async |transaction| {
                lock(transaction).await?;
                let last = last(transaction, &directory, &leaving).await?;
                if let Some(answer) = answer.take()
                    && answer.send(Ok(last)).is_ok()
                {
                    // This ends when the caller drops the lock.
                    let _: Result<Infallible, _> = released.await;
                }
                Ok::<_, IdentityError>(())
            });
            let result = result.await;
            match (answer, result) {
                (Some(answer), Err(error)) => drop(answer.send(Err(error))),
                (None, Err(error)) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "the lock on the administrators ended early");
                }
                _ => {}
            }
        });
        match answered.await {
            Ok(answer) => answer.map(|last| (held, last)),
            // Only a panic keeps the task from answering.
            Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
        }
    }
}
