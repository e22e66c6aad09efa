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
    user_id: Uuid,
    password_hash: Option<String>,
    is_familiar: bool,
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
        let throttle = self.throttle();
        let attempt = self.begin_attempt(&email, &visitor)?;
        let compared = self.compare(&email, password, &visitor, attempt).await;
        match compared {
            Ok((attempt, Some(proven))) => {
                throttle.forgive(attempt);
                self.begin(proven).await
            }
            Ok((_, None)) => Err(IdentityError::WrongCredentials),
            Err(error) => Err(error),
        }
    }

    /// Counts an attempt to guess the password of an account.
    pub(super) fn begin_attempt(
        &self,
        email: &Email,
        visitor: &Visitor,
    ) -> Result<Attempt, IdentityError> {
        let key = self.parts().directory.key(email);
        let attempt = self.throttle().begin(visitor.address.map(network), key, Instant::now());
        attempt.map_err(|wait| IdentityError::Throttled { wait })
    }

    /// Counts a mail that somebody asks for.
    pub(super) fn admit_mail(
        &self,
        recipient: &Email,
        visitor: &Visitor,
    ) -> Result<(), IdentityError> {
        let key = self.parts().directory.key(recipient);
        let admitted = self.throttle().mail(visitor.address.map(network), key, Instant::now());
        admitted.map_err(|wait| IdentityError::Throttled { wait })
    }

    /// Compares the password. The attempt counts if it is wrong.
    async fn compare(
        &self,
        email: &Email,
        password: SecretString,
        visitor: &Visitor,
        attempt: Attempt,
    ) -> Result<(Attempt, Option<Proven>), IdentityError> {
        let parts = self.parts();
        let account = self.account(email, visitor.address).await;
        let account = account.inspect_err(|_| self.throttle().forgive(attempt))?;
        let attempt = if account.is_familiar {
            attempt
        } else {
            let counted = self.throttle().from_strange_address(attempt, Instant::now());
            counted.map_err(|wait| IdentityError::Throttled { wait })?
        };
        let Account { user_id, password_hash, .. } = account;
        let compared = parts.passwords.verify(password.clone(), password_hash.clone()).await;
        let verdict = compared.inspect_err(|_| self.throttle().forgive(attempt))?;
        let (Verdict::Right | Verdict::Outdated, Some(mut password_hash)) =
            (verdict, password_hash)
        else {
            return Ok((attempt, None));
        };
        // The address belongs to the user until it is released, so the user is normally there.
        if !parts.directory.may_sign_in(user_id).await? {
            return Ok((attempt, None));
        }
        if verdict == Verdict::Outdated {
            password_hash = self.rehash(user_id, password, password_hash).await?;
        }
        let Visitor { client, address } = visitor.clone();
        Ok((attempt, Some(Proven { user_id, password_hash, client, address })))
    }

    /// Looks up the account of the user who holds the address.
    async fn account(
        &self,
        email: &Email,
        address: Option<IpAddr>,
    ) -> Result<Account, IdentityError> {
        let parts = self.parts();
        // Nobody has the nil id. It is looked up too, so that the answer takes the same time.
        let user_id = parts.directory.holder(email).await?.unwrap_or_default();
        let found = sqlx::query!(
            r#"SELECT password_hash, EXISTS (
                 SELECT FROM auth.sessions s
                 WHERE s.user_id = $1 AND s.address <<= $2::text::inet) AS "is_familiar!"
               FROM auth.accounts WHERE user_id = $1"#,
            user_id,
            address.map(cidr)
        );
        let found = found.fetch_optional(parts.database.pool()).await?;
        let (password_hash, is_familiar) =
            found.map_or((None, false), |found| (found.password_hash, found.is_familiar));
        Ok(Account { user_id, password_hash, is_familiar })
    }

    /// Stores the right password with the parameters of today, and returns the hash that is stored
    /// now. If that is not possible at the moment, the old hash stays for the next time.
    async fn rehash(
        &self,
        user_id: Uuid,
        password: SecretString,
        old: String,
    ) -> Result<String, IdentityError> {
        let parts = self.parts();
        let Ok(password) = Password::new(password) else { return Ok(old) };
        let Ok(new) = parts.passwords.hash(password).await else { return Ok(old) };
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
