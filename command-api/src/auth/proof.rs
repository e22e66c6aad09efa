//! Proofs by mail: something waits until somebody shows the token that was mailed to an address.
//!
//! A token is a MAC of its row's id and nonce under the pepper. So the database alone does not tell
//! it, nor does the pepper alone, and nothing but the mail ever holds it.

use chrono::{DateTime, TimeDelta, Utc};
use domain::value::Email;
use rand::Rng as _;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::log_in::Visitor;
use super::mail::Kind;
use super::mail::outbox::{self, Entry};
use super::throttle::AccountKey;
use super::{Directory, Identity, IdentityError, account};

pub mod email;
pub mod password;
pub mod sign_up;

/// How long a mailed token is valid.
pub const VALIDITY: TimeDelta = TimeDelta::hours(1);
pub(super) const NONCE_LEN: usize = 32;

/// What a mailed token proves, before it is text.
#[derive(Debug)]
pub struct Proof {
    pub(super) pending_id: Uuid,
    pub(super) nonce: [u8; NONCE_LEN],
}

impl Proof {
    pub(super) fn new(pending_id: Uuid, nonce: &[u8]) -> Option<Self> {
        Some(Self { pending_id, nonce: nonce.try_into().ok()? })
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    SignUp,
    PasswordReset,
    EmailChange,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignUp => "sign-up",
            Self::PasswordReset => "password-reset",
            Self::EmailChange => "email-change",
        }
    }
}

/// What waits for a proof.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) pending_id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) email: Option<String>,
    pub(super) name: Option<String>,
    /// The hash of the address that the user held when it was asked for.
    pub(super) held: Option<Vec<u8>>,
    pub(super) done_at: Option<DateTime<Utc>>,
}

/// A request that is answered by mail only.
pub(super) struct Ask<'a> {
    pub(super) purpose: Purpose,
    pub(super) user_id: Uuid,
    /// The address to record, if the purpose has one.
    pub(super) email: Option<&'a Email>,
    pub(super) name: Option<&'a str>,
    /// The address that the user holds, if there is a user already. The token is void once the user
    /// holds another one.
    pub(super) held: Option<&'a Email>,
    /// The mail, to this address. Only one of the purpose's own kind gets the token.
    pub(super) mail: Kind,
    pub(super) recipient: &'a Email,
    /// The hash of the password that the asker gave. If it is another one by now, nothing is asked.
    pub(super) password_hash: Option<&'a str>,
    /// The session that asks, if the purpose takes one.
    pub(super) session: Option<Uuid>,
}

impl Identity {
    /// Runs a request for a mail, if its budgets allow one. One that fails takes nothing from them.
    ///
    /// # Errors
    /// [`IdentityError::Throttled`], or those of the request.
    pub(super) async fn within_budget(
        &self,
        (purpose, recipient): (Purpose, &Email),
        visitor: &Visitor,
        request: impl Future<Output = Result<(), IdentityError>> + Send,
    ) -> Result<(), IdentityError> {
        let recipient = (purpose, self.parts().directory.key(recipient));
        let mail = self.throttle().mail(visitor.network(), recipient, Instant::now());
        let mail = mail.map_err(|wait| IdentityError::Throttled { wait })?;
        request.await.inspect_err(|_| self.throttle().unsent(mail))
    }

    /// Records what waits and the mail, in one transaction. The work is the same for every mail.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> Result<(), IdentityError> {
        let (parts, now) = (self.parts(), self.parts().clock.now());
        let held = ask.held.map(|email| parts.directory.key(email));
        let asked = parts
            .database
            .transaction(async |transaction| record(transaction, &ask, held, now).await);
        asked.await
    }

    /// What waits for this token, if it is valid.
    ///
    /// # Errors
    /// [`IdentityError::InvalidToken`] otherwise.
    pub(super) async fn waiting(
        &self,
        token: &SecretString,
        purpose: Purpose,
    ) -> Result<Waiting, IdentityError> {
        let parts = self.parts();
        let (id, mac) = super::token::read_proof(token).ok_or(IdentityError::InvalidToken)?;
        let found = sqlx::query!(
            "SELECT user_id, email, name, held_hash, nonce, done_at FROM auth.pending
             WHERE pending_id = $1 AND kind = $2 AND expires_at > $3",
            id,
            purpose.as_str(),
            parts.clock.now()
        );
        let found = found.fetch_optional(parts.database.pool()).await?;
        let found = found.ok_or(IdentityError::InvalidToken)?;
        let proof = Proof::new(id, &found.nonce).ok_or(IdentityError::InvalidToken)?;
        if !parts.pepper.proves(&proof, &mac) {
            return Err(IdentityError::InvalidToken);
        }
        Ok(Waiting {
            pending_id: id,
            user_id: found.user_id,
            email: found.email,
            name: found.name,
            held: found.held_hash,
            done_at: found.done_at,
        })
    }
}

impl Waiting {
    /// Whether this is the address that the user held when the mail was asked for.
    pub(super) fn is_of(&self, directory: &Directory, email: &Email) -> bool {
        self.held.as_deref() == Some(&directory.key(email)[..])
    }
}

async fn record(
    transaction: &mut PgConnection,
    ask: &Ask<'_>,
    held: Option<AccountKey>,
    now: DateTime<Utc>,
) -> Result<(), IdentityError> {
    if let Some(password_hash) = ask.password_hash {
        // The row stays locked, so no change of the password forgets what waits just before this.
        if !account::hold_with_password(transaction, ask.user_id, password_hash).await? {
            return Err(IdentityError::WrongCredentials);
        }
    }
    let pending_id = Uuid::now_v7();
    let mut nonce = [0; NONCE_LEN];
    rand::rng().fill(&mut nonce);
    sqlx::query!(
        "INSERT INTO auth.pending (pending_id, kind, nonce, user_id, email, name, held_hash,
             session_id, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        pending_id,
        ask.purpose.as_str(),
        &nonce,
        ask.user_id,
        ask.email.map(Email::as_str),
        ask.name,
        held.as_ref().map(|hash| &hash[..]),
        ask.session,
        now,
        now.checked_add_signed(VALIDITY).unwrap_or(now)
    )
    .execute(&mut *transaction)
    .await?;
    let has_token = ask.mail.as_str() == ask.purpose.as_str();
    let notice = Entry::notice(ask.mail, ask.recipient.as_str(), ask.user_id);
    let entry = Entry { pending_id: has_token.then_some(pending_id), ..notice };
    outbox::add(transaction, &entry, now).await
}

/// Marks what waited as done. Its token is then valid for a repeat only.
pub(super) async fn done(
    transaction: &mut PgConnection,
    pending_id: Uuid,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE auth.pending SET done_at = coalesce(done_at, $2) WHERE pending_id = $1",
        pending_id,
        now
    );
    done.execute(transaction).await.map(drop)
}

/// Claims what waits, so that of several confirmations one does it; `false` if it was done, or
/// waits no more.
async fn claim(
    transaction: &mut PgConnection,
    pending_id: Uuid,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query!(
        "UPDATE auth.pending SET done_at = $2 WHERE pending_id = $1 AND done_at IS NULL",
        pending_id,
        now
    );
    Ok(claimed.execute(transaction).await?.rows_affected() == 1)
}

/// Forgets what else waits for a user's proof: its tokens were mailed before something changed that
/// they must not outlive. Lock the account first if other tables change too.
pub(super) async fn forget(
    transaction: &mut PgConnection,
    user_id: Uuid,
    purposes: &[Purpose],
    kept: Uuid,
) -> Result<(), sqlx::Error> {
    let kinds: Vec<String> = purposes.iter().map(|one| one.as_str().to_owned()).collect();
    let forgotten = sqlx::query!(
        "DELETE FROM auth.pending
         WHERE user_id = $1 AND kind = ANY ($2::text[]) AND pending_id <> $3",
        user_id,
        &kinds[..],
        kept
    );
    forgotten.execute(transaction).await.map(drop)
}

/// Deletes what waits for a user's proof: all of it, or what was asked for up to a time.
pub(super) async fn forget_asked_by(
    transaction: &mut PgConnection,
    user_id: Uuid,
    asked_by: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    let forgotten = sqlx::query!(
        "DELETE FROM auth.pending
         WHERE user_id = $1 AND ($2::timestamptz IS NULL OR created_at <= $2)",
        user_id,
        asked_by
    );
    forgotten.execute(transaction).await.map(drop)
}
