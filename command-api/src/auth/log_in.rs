//! Log-in with e-mail address and password.
//!
//! An unknown address and a wrong password look the same from outside: the same answer after the
//! same work. Both look up the address and the account, and compare a hash.

use std::net::IpAddr;

use domain::value::Email;
use secrecy::SecretString;
use service_kit::http::subscriber;
use tokio::time::Instant;
use uuid::Uuid;

use super::password::{Password, Verdict};
use super::session::Tokens;
use super::session::begin::Proven;
use super::throttle::Attempt;
use super::{Identity, IdentityError};

/// What a user proves to be who they are with.
pub struct Credentials {
    /// The e-mail address.
    pub email: Email,
    /// The password, as typed.
    pub password: SecretString,
}

/// Where a log-in comes from.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// The frontend, as it names itself.
    pub client: String,
    /// The network address, if it is known.
    pub address: Option<IpAddr>,
}

/// What is stored about the holder of an address. If there is no holder, it has the same form.
struct Account {
    password_hash: Option<String>,
    is_familiar: bool,
}

/// A password that is right.
pub(super) struct Right {
    /// The stored hash.
    pub(super) password_hash: String,
    /// Whether its parameters are weaker than those of today.
    is_outdated: bool,
    /// The attempt. It still counts as a guess.
    attempt: Attempt,
}

impl Visitor {
    /// The network, as limits count it.
    pub(super) fn network(&self) -> Option<IpAddr> {
        self.address.map(network)
    }
}

impl Identity {
    /// Begins a session for the user with these credentials.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`], [`IdentityError::Throttled`], or the event store or the
    /// database cannot be asked.
    pub async fn log_in(
        &self,
        credentials: Credentials,
        visitor: Visitor,
    ) -> Result<Tokens, IdentityError> {
        let Credentials { email, password } = credentials;
        let (parts, attempt) = (self.parts(), self.begin_attempt(&email, &visitor)?);
        let holder = parts.directory.holder(&email).await;
        // Nobody has the nil id. It is looked up too, so that the answer takes the same time.
        let user_id = holder.inspect_err(|_| self.throttle().forgive(attempt))?.unwrap_or_default();
        let right = self.compare(attempt, user_id, password.clone(), &visitor).await?;
        let Right { mut password_hash, is_outdated, attempt } = right;
        // The address belongs to the user until it is released, so the user is normally there.
        let may_sign_in = parts.directory.may_sign_in(user_id).await;
        if !may_sign_in.inspect_err(|_| self.throttle().forgive(attempt))? {
            return Err(wrong(attempt));
        }
        self.throttle().forgive(attempt);
        if is_outdated {
            let asker = visitor.network();
            password_hash = self.rehash(user_id, password, password_hash, asker).await?;
        }
        let Visitor { client, address } = visitor;
        let begun = self.begin(Proven { user_id, password_hash, client, address }).await?;
        begun.ok_or(IdentityError::WrongCredentials)
    }

    /// Checks the present password of a user who is known otherwise, and returns the stored hash
    /// with the e-mail address. A wrong one counts as a guess at the account, as in a log-in.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`], [`IdentityError::Throttled`], [`IdentityError::SignIn`]
    /// if there is no such user any more, or a store cannot be asked.
    pub(super) async fn present_password(
        &self,
        user_id: Uuid,
        given: SecretString,
        visitor: &Visitor,
    ) -> Result<(String, Email), IdentityError> {
        let email = self.parts().directory.email_of(user_id).await?;
        let email = email.ok_or(IdentityError::SignIn)?;
        let attempt = self.begin_attempt(&email, visitor)?;
        let right = self.compare(attempt, user_id, given, visitor).await?;
        self.throttle().forgive(right.attempt);
        Ok((right.password_hash, email))
    }

    /// Counts an attempt to guess the password of an account.
    fn begin_attempt(&self, email: &Email, visitor: &Visitor) -> Result<Attempt, IdentityError> {
        let key = self.parts().directory.key(email);
        let attempt = self.throttle().begin(visitor.network(), key, Instant::now());
        attempt.map_err(|wait| IdentityError::Throttled { wait })
    }

    /// Compares the password with that of a user. The attempt counts if it is wrong.
    async fn compare(
        &self,
        attempt: Attempt,
        user_id: Uuid,
        given: SecretString,
        visitor: &Visitor,
    ) -> Result<Right, IdentityError> {
        let (parts, throttle) = (self.parts(), self.throttle());
        let account = self.account(user_id, visitor.address).await;
        let account = account.inspect_err(|_| throttle.forgive(attempt))?;
        let attempt = throttle.share(attempt, Instant::now());
        let is_open = attempt.used_up().is_none() || account.is_familiar;
        // A refused attempt takes the same time, so that it tells nothing.
        let stored = account.password_hash.filter(|_| is_open);
        let compared = parts.passwords.verify(given, stored.clone(), visitor.network()).await;
        let verdict = compared.inspect_err(|_| throttle.forgive(attempt))?;
        match (verdict, stored) {
            (Verdict::Right | Verdict::Outdated, Some(password_hash)) => {
                let is_outdated = verdict == Verdict::Outdated;
                Ok(Right { password_hash, is_outdated, attempt })
            }
            _ => Err(wrong(attempt)),
        }
    }

    /// Looks up the account of a user.
    async fn account(
        &self,
        user_id: Uuid,
        address: Option<IpAddr>,
    ) -> Result<Account, IdentityError> {
        let found = sqlx::query!(
            r#"SELECT password_hash, EXISTS (
                 SELECT FROM auth.sessions s
                 WHERE s.user_id = $1 AND s.address <<= $2::text::inet) AS "is_familiar!"
               FROM auth.accounts WHERE user_id = $1"#,
            user_id,
            address.map(cidr)
        );
        let found = found.fetch_optional(self.parts().database.pool()).await?;
        let (password_hash, is_familiar) =
            found.map_or((None, false), |found| (found.password_hash, found.is_familiar));
        Ok(Account { password_hash, is_familiar })
    }

    /// Stores the right password with the parameters of today, and returns the hash that is stored
    /// now. If that is not possible at the moment, the old hash stays for the next time.
    async fn rehash(
        &self,
        user_id: Uuid,
        password: SecretString,
        old: String,
        asker: Option<IpAddr>,
    ) -> Result<String, IdentityError> {
        let parts = self.parts();
        let Ok(password) = Password::new(password) else { return Ok(old) };
        let Ok(new) = parts.passwords.hash(password, asker).await else { return Ok(old) };
        let replaced = sqlx::query!(
            "UPDATE auth.accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2",
            user_id,
            old,
            new
        );
        let replaced = replaced.execute(parts.database.pool()).await?.rows_affected() == 1;
        Ok(if replaced { new } else { old })
    }
}

/// The refusal of a wrong password.
fn wrong(attempt: Attempt) -> IdentityError {
    attempt
        .used_up()
        .map_or(IdentityError::WrongCredentials, |wait| IdentityError::Throttled { wait })
}

/// The network of an address as limits count it.
fn network(address: IpAddr) -> IpAddr {
    subscriber(address).0
}

/// The network of an address in the notation of Postgres.
fn cidr(address: IpAddr) -> String {
    let (network, bits) = subscriber(address);
    format!("{network}/{bits}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_addresses_of_one_subscriber_are_one() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7/32"),
            ("::ffff:192.0.2.7", "192.0.2.7/32"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(cidr(address.parse().unwrap()), expected);
        }
    }
}
