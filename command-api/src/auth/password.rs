//! Passwords: hashed with Argon2id, off the asynchronous threads, a bounded number at once.
//!
//! One hash takes 19 MiB and tens of milliseconds of a core (OWASP's parameters). So as many run at
//! once as there are cores, a bounded number waits, and everybody else is refused at once. Those
//! who ask from one address hold a part of the places at most, so that they leave some to others.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

mod share;

use share::Shares;

/// The minimum length of a password, in characters.
pub const MIN_CHARACTERS: usize = 10;
/// The maximum length of a password, in bytes. A longer one is refused, not cut.
pub const MAX_BYTES: usize = 128;
/// How many calls may wait for each one that runs.
const WAITING_PER_RUNNING: usize = 16;
/// Calls from one address hold at most one of so many parts of the places.
const PARTS: usize = 4;
/// The parameters of OWASP's Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The most that a stored hash may ask for: memory in KiB, passes and lanes. A hash names its own
/// parameters, so a damaged or planted one could otherwise take gigabytes or hours.
const MAX_STORED: (u32, u32, u32) = (64 * 1024, 8, 4);

/// A password of an acceptable length.
#[derive(Debug, Clone)]
pub struct Password(SecretString);

/// The error for a text that is too short or too long for a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password has at least {MIN_CHARACTERS} characters and at most {MAX_BYTES} bytes")]
pub struct UnfitPassword;

/// Why a password was not hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many passwords are being hashed, or too many from this address.
    #[error("too many passwords are being checked")]
    Busy,
    /// The hash failed, or a stored one is malformed or asks for too much.
    #[error("a password could not be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The thread that hashed it ended early.
    #[error("the thread of a password's hash ended early")]
    Thread(#[from] JoinError),
}

/// The answer to a password that somebody gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is right, but the stored hash has weaker parameters than new ones: store it again.
    Outdated,
    /// It is wrong, or there is none for the account.
    Wrong,
}

/// Hashes and verifies passwords.
#[derive(Debug, Clone)]
pub struct Passwords {
    running: Arc<Semaphore>,
    /// Those that wait or run.
    admitted: Arc<Semaphore>,
    /// How many of them each address holds.
    shares: Shares,
}

/// The hash that a password is compared with if the account does not exist, so that the answer
/// takes as long as for one that does.
static NOBODY: LazyLock<Result<String, argon2::password_hash::Error>> =
    LazyLock::new(|| hashed(&SecretString::from("nobody has this password".to_owned())));

impl Password {
    /// Accepts a text as a password.
    ///
    /// # Errors
    /// [`UnfitPassword`].
    pub fn new(text: SecretString) -> Result<Self, UnfitPassword> {
        let password = text.expose_secret();
        let fits = password.len() <= MAX_BYTES && password.chars().count() >= MIN_CHARACTERS;
        if fits { Ok(Self(text)) } else { Err(UnfitPassword) }
    }

    /// The password as a text, to compare it.
    pub(super) fn into_text(self) -> SecretString {
        self.0
    }
}

impl Passwords {
    /// Runs at most `at_once` hashes at once.
    pub fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        let places = at_once * (1 + WAITING_PER_RUNNING);
        Self {
            running: Arc::new(Semaphore::new(at_once)),
            admitted: Arc::new(Semaphore::new(places)),
            shares: Shares::new(places / PARTS),
        }
    }

    /// Hashes a password. The result names its parameters and has a salt of its own (PHC string).
    /// `asker` is the network that asks for it, if it is known.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn hash(
        &self,
        password: Password,
        asker: Option<IpAddr>,
    ) -> Result<String, PasswordError> {
        self.run(asker, move || hashed(&password.0).map_err(PasswordError::Hash)).await
    }

    /// Compares a text with a stored hash. `None` means that there is no such account: the answer
    /// is [`Verdict::Wrong`], after the same time. `asker` is the network that asks, if it is
    /// known.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub async fn verify(
        &self,
        given: SecretString,
        stored: Option<String>,
        asker: Option<IpAddr>,
    ) -> Result<Verdict, PasswordError> {
        // A text that is too long is nobody's password. It still takes a turn and the same time.
        let (given, stored) = if given.expose_secret().len() > MAX_BYTES {
            (SecretString::from(String::new()), None)
        } else {
            (given, stored)
        };
        let work = move || verdict(&given, stored.as_deref()).map_err(PasswordError::Hash);
        self.run(asker, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        asker: Option<IpAddr>,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let share = self.shares.take(asker).ok_or(PasswordError::Busy)?;
        let admitted =
            Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| PasswordError::Busy)?;
        let running =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_| PasswordError::Busy)?;
        // The hash has its turn until it ends, also when the caller goes away or the work panics.
        let worked = tokio::task::spawn_blocking(move || {
            let _turn = (admitted, running, share);
            work()
        });
        worked.await?
    }
}

fn argon2() -> Result<Argon2<'static>, argon2::password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|_| argon2::password_hash::Error::ParamsInvalid)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashed(password: &SecretString) -> Result<String, argon2::password_hash::Error> {
    let hash = argon2()?.hash_password(password.expose_secret().as_bytes())?;
    Ok(hash.to_string())
}

fn verdict(
    given: &SecretString,
    stored: Option<&str>,
) -> Result<Verdict, argon2::password_hash::Error> {
    let nobody = NOBODY.as_ref().map_err(Clone::clone)?;
    let text = stored.unwrap_or(nobody);
    let hash =
        PasswordHash::new(text).map_err(|_| argon2::password_hash::Error::EncodingInvalid)?;
    let asked = Params::try_from(&hash)?;
    let (memory, passes, lanes) = MAX_STORED;
    if asked.m_cost() > memory || asked.t_cost() > passes || asked.p_cost() > lanes {
        return Err(argon2::password_hash::Error::ParamsInvalid);
    }
    let is_right = match argon2()?.verify_password(given.expose_secret().as_bytes(), &hash) {
        Ok(()) => true,
        Err(argon2::password_hash::Error::PasswordInvalid) => false,
        Err(error) => return Err(error),
    };
    Ok(match (is_right && stored.is_some(), is_current(&hash)) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::Outdated,
    })
}

/// Whether a stored hash has the parameters that a new one would have.
fn is_current(hash: &PasswordHash) -> bool {
    let param = |name| hash.params.get_decimal(name);
    hash.algorithm.as_str() == "argon2id"
        && hash.version == Some(Version::V0x13.into())
        && param("m") == Some(MEMORY_KIB)
        && param("t") == Some(PASSES)
        && param("p") == Some(LANES)
}

#[cfg(test)]
mod tests;
