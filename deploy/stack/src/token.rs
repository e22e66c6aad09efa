//! `token`: prints an access token for curl, signed with the key that all stacks of this user
//! share. Imports and benchmarks use such tokens, too.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::access::Role;
use ::identity::config::{AUDIENCE, ISSUER};
use ::identity::{Holder, Issuer, MAX_LIFETIME, SigningKeys};
use anyhow::Context as _;
use secrecy::SecretString;
use uuid::Uuid;

use crate::cli::TokenArgs;
use crate::output::answer;
use crate::secrets::KeyFiles;

/// The holder of a token, unless a user is named. No user has this id.
pub const OPERATOR: Uuid = Uuid::from_u128(0xad);
/// The credential of all tokens. No session and no API key has this id.
const CREDENTIAL: Uuid = Uuid::from_u128(0x5a);
/// The client that asks for the tokens.
const CLIENT: &str = "cargo-stack";
/// How long a token is used before the next one is made.
const USED_FOR: Duration = Duration::from_mins(2);

/// Prints a token.
pub fn run(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let role = if args.user.is_some() { "user" } else { &args.role };
    let holder = holder(args.user.unwrap_or(OPERATOR), role)?;
    let tokens = Tokens::new(issuer(&KeyFiles::ensure()?.access_tokens)?, holder);
    answer(tokens.current()?)?;
    Ok(ExitCode::SUCCESS)
}

/// The issuer with the keys in this file.
///
/// # Errors
/// The file cannot be read, or holds no keys.
pub fn issuer(keys: &Path) -> anyhow::Result<Issuer> {
    let text =
        std::fs::read_to_string(keys).with_context(|| format!("cannot read {}", keys.display()))?;
    let keys = SigningKeys::parse(&SecretString::from(text))?;
    Ok(Issuer::new(keys, ISSUER, AUDIENCE))
}

/// A user with one of the roles of a new deployment.
///
/// # Errors
/// There is no such role.
pub fn holder(user: Uuid, role: &str) -> anyhow::Result<Holder> {
    let roles = Role::seed();
    let names = roles.each_ref().map(|role| role.name.to_string()).join(", ");
    let role = roles.into_iter().find(|known| known.name.as_str() == role);
    let role = role.with_context(|| format!("there is no such role; the roles are {names}"))?;
    Ok(Holder {
        user,
        credential: CREDENTIAL,
        client: CLIENT.to_owned(),
        grants: role.grants,
        roles: vec![role.name.to_string()],
    })
}

/// Tokens of one holder. Each is used for a part of its lifetime, then comes the next one.
#[derive(Debug)]
pub struct Tokens {
    issuer: Issuer,
    holder: Holder,
    current: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Tokens {
    /// The tokens of a holder.
    pub const fn new(issuer: Issuer, holder: Holder) -> Self {
        Self { issuer, holder, current: Mutex::new(None) }
    }

    /// The tokens of an administrator of this user's stacks.
    ///
    /// # Errors
    /// The key cannot be made or read.
    pub fn of_operator() -> anyhow::Result<Self> {
        Ok(Self::new(issuer(&KeyFiles::ensure()?.access_tokens)?, holder(OPERATOR, "admin")?))
    }

    /// A token that is valid for some minutes more.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn current(&self) -> anyhow::Result<Arc<str>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, token)) = &*current
            && since.elapsed() < USED_FOR
        {
            return Ok(Arc::clone(token));
        }
        let now = ::identity::Moment::of_seconds(::identity::now());
        let token: Arc<str> = self.issuer.issue(&self.holder, now, MAX_LIFETIME)?.into();
        *current = Some((Instant::now(), Arc::clone(&token)));
        Ok(token)
    }
}
