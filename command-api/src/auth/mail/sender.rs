//! Sends the mails of the outbox in the background.
//!
//! A mail is taken for a while, handed over, and deleted. After a crash it is sent again, so a mail
//! may come twice, with the same `Message-ID`. One that fails is retried with growing pauses for a
//! day. Several processes may send at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use service_kit::Pulse;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Kind, MailError, Mailer, Told};
use crate::auth::proof::Proof;
use crate::auth::{Identity, IdentityError};

/// How often to look for mails.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The maximum number of mails that are taken at once.
const AT_ONCE: i64 = 20;
/// How long a mail is taken. It is longer than all mails of one look may take.
const TAKEN: TimeDelta = TimeDelta::minutes(10);
/// How long the sender may be silent before it counts as hung: longer than one mail may take.
pub const SILENCE_LIMIT: Duration = Duration::from_mins(1);
/// How long a mail is retried.
const GIVE_UP: TimeDelta = TimeDelta::days(1);
/// The pauses after failed attempts, in seconds. The last one repeats.
const PAUSES: [i64; 6] = [5, 30, 120, 600, 1800, 3600];

/// Sends mails.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The way out.
    pub mailer: Mailer,
    /// The sender's address.
    pub from: Arc<str>,
    /// The URL of the frontend, without a slash at its end. Links begin with it.
    pub frontend: Arc<str>,
}

/// A mail that was taken.
struct Taken {
    mail_id: Uuid,
    kind: String,
    recipient: String,
    created_at: DateTime<Utc>,
    attempts: i32,
    pending_id: Option<Uuid>,
    key_count: Option<i32>,
    nonce: Option<Vec<u8>>,
}

impl Sender {
    /// Sends mails until `drain`.
    pub async fn run(&self, identity: &Identity, pulse: Pulse, drain: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = drain.cancelled() => break,
                _ = ticks.tick() => {}
            }
            pulse.beat();
            tokio::select! {
                () = drain.cancelled() => break,
                sent = self.send_waiting(identity, &pulse) => if let Err(error) = sent {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::warn!(error, "mails could not be looked up");
                }
            }
        }
        pulse.rest();
    }

    /// Sends the mails that wait now, and returns how many were handed over.
    ///
    /// # Errors
    /// The database failed. A mail that cannot be sent is no error here.
    pub async fn send_waiting(
        &self,
        identity: &Identity,
        pulse: &Pulse,
    ) -> Result<usize, IdentityError> {
        let mut sent = 0;
        for taken in take(identity).await? {
            pulse.beat();
            match self.send_one(identity, &taken).await {
                Ok(()) => {
                    sent += 1;
                    remove(identity, taken.mail_id).await?;
                }
                Err(error) => failed(identity, &taken, &error).await?,
            }
        }
        Ok(sent)
    }

    async fn send_one(&self, identity: &Identity, taken: &Taken) -> Result<(), MailError> {
        let kind = Kind::named(&taken.kind).unwrap_or(Kind::Nothing);
        if kind == Kind::Nothing {
            return Ok(());
        }
        let proof = taken.pending_id.zip(taken.nonce.as_deref());
        let token = proof.and_then(|(id, nonce)| Proof::new(id, nonce));
        let token = token.map(|token| identity.parts().pepper.proof_text(&token));
        let token = token.as_ref().map(SecretString::expose_secret);
        let keys = taken.key_count.and_then(|keys| u32::try_from(keys).ok());
        let told = Told { token, keys };
        let letter = kind.letter(taken.mail_id, taken.recipient.clone(), &told, &self.frontend);
        self.mailer.send(&self.from, &letter).await
    }
}

async fn take(identity: &Identity) -> Result<Vec<Taken>, IdentityError> {
    let now = identity.parts().clock.now();
    let until = now.checked_add_signed(TAKEN).unwrap_or(now);
    let taken = sqlx::query_as!(
        Taken,
        r#"WITH taken AS (
             UPDATE auth.mail_outbox SET next_at = $2, attempts = attempts + 1
             WHERE mail_id IN (SELECT mail_id FROM auth.mail_outbox WHERE next_at <= $1
                 ORDER BY next_at LIMIT $3 FOR UPDATE SKIP LOCKED)
             RETURNING mail_id, kind, recipient, created_at, attempts, pending_id, key_count)
           SELECT taken.mail_id AS "mail_id!", taken.kind AS "kind!",
             taken.recipient AS "recipient!", taken.created_at AS "created_at!",
             taken.attempts AS "attempts!", taken.pending_id, taken.key_count,
             p.nonce AS "nonce?"
           FROM taken LEFT JOIN auth.pending p USING (pending_id)"#,
        now,
        until,
        AT_ONCE
    );
    Ok(taken.fetch_all(identity.parts().database.pool()).await?)
}

async fn remove(identity: &Identity, mail: Uuid) -> Result<(), IdentityError> {
    let removed = sqlx::query!("DELETE FROM auth.mail_outbox WHERE mail_id = $1", mail);
    removed.execute(identity.parts().database.pool()).await?;
    Ok(())
}

fn tell_given_up(error: &MailError, taken: &Taken) {
    let cause: &(dyn std::error::Error + 'static) = error;
    let Taken { mail_id: mail, kind, attempts, .. } = taken;
    tracing::error!(error = cause, %mail, kind, attempts, "a mail is given up");
}

fn warn_of_retry(error: &MailError, taken: &Taken, pause: TimeDelta) {
    let cause: &(dyn std::error::Error + 'static) = error;
    let Taken { mail_id: mail, kind, attempts, .. } = taken;
    tracing::warn!(error = cause, %mail, kind, attempts, retry_in_s = pause.num_seconds(),
        "a mail could not be sent");
}

/// Keeps a mail for another attempt, or gives it up. Its recipient is not logged.
async fn failed(
    identity: &Identity,
    taken: &Taken,
    error: &MailError,
) -> Result<(), IdentityError> {
    let now = identity.parts().clock.now();
    let (mail, attempts) = (taken.mail_id, taken.attempts);
    if error.is_lasting() || now - taken.created_at > GIVE_UP {
        tell_given_up(error, taken);
        return remove(identity, mail).await;
    }
    let last = PAUSES.len() - 1;
    let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(last);
    let pause = TimeDelta::seconds(PAUSES.get(at).copied().unwrap_or(3600));
    warn_of_retry(error, taken, pause);
    let next = now.checked_add_signed(pause).unwrap_or(now);
    let kept =
        sqlx::query!("UPDATE auth.mail_outbox SET next_at = $2 WHERE mail_id = $1", mail, next);
    kept.execute(identity.parts().database.pool()).await?;
    Ok(())
}
