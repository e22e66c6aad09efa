//! Puts the public API together from the settings.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use event_store::ReservationKey;
use identity::{KeySource, Operators, Revocations};
use postgres_kit::PoolLimits;
use service_kit::clock;
use service_kit::config::Switch;
use service_kit::consistency::TokenKey;
use service_kit::health::Health;

use crate::application::use_case::EmailReservations;
use crate::application::{Application, Commands, Environment};
use crate::auth::password::Passwords;
use crate::auth::{Database, Directory, Identity, Parts, Pepper};
use crate::config::{ServeArgs, reservation_secret};
use crate::http::{Api, ApiParts, Version, rates, versions};
use crate::signing_in::{SigningIn, password_threads};

/// The API over `commands`, the tasks of log-ins if there is a database of credentials, and the
/// source of the outside issuer's keys if there is one.
///
/// # Errors
/// A setting is invalid.
pub(super) fn api(
    args: &ServeArgs,
    credentials: PoolLimits,
    commands: &Arc<OnceLock<Arc<Commands>>>,
    health: &Health,
) -> anyhow::Result<(Api, Option<SigningIn>, Option<KeySource>)> {
    let secret = reservation_secret(&args.reservation_key.get()?)?;
    let reservation_key = ReservationKey::new(secret.to_vec());
    let environment = Environment {
        reservations: EmailReservations::new(Arc::new(reservation_key)),
        clock: clock::system(),
        order_import: args.order_import == Switch::Enabled,
    };
    let auth = args.auth.optional()?;
    let revocations = match auth {
        Some(_) => Revocations::unknown(),
        None => Revocations::default(),
    };
    let tokens = &args.access_tokens;
    let (issuer, gate) = tokens.issuer(&tokens.keys.get()?, revocations.clone())?;
    let issuer = Arc::new(issuer);
    let outside = outside(args, health)?;
    let gate = gate.accepting(outside.as_ref().map(KeySource::verifier));
    let parts = |database| Parts {
        database,
        directory: Directory {
            commands: Arc::clone(commands),
            reservations: environment.reservations.clone(),
        },
        passwords: Passwords::new(password_threads()),
        pepper: Pepper::derive(&secret),
        issuer: Arc::clone(&issuer),
        revocations: revocations.clone(),
        limits: args.sessions.limits(),
        clock: clock::system(),
    };
    let signing_in = match auth {
        Some(url) => {
            let identity = Identity::new(parts(Database::with(&url, credentials)?));
            Some(SigningIn::new(identity, args.mail.sender()?, &args.sessions, health))
        }
        None => None,
    };
    let api = ApiParts {
        application: Application {
            commands: Arc::clone(commands),
            environment,
            policy: Arc::new(args.policy.policy()),
        },
        tokens: Arc::new(TokenKey::from_secret(&args.token_key.get()?).context("TOKEN_KEY")?),
        issuer,
        gate,
        rates: rates(&args.rates.rate_limits)
            .map_err(|error| cli_kit::Usage(format!("RATE_LIMITS: {error}")))?,
        introspection: args.graphql_introspection.into(),
        versions: versions(args.versions.deprecation(Version::V2.document_path())?.as_ref()),
        public_query_url: args.public_query_url.as_str().into(),
        clock: clock::system(),
        identity: signing_in.as_ref().map(|signing_in| signing_in.identity.clone()),
    };
    Ok((api.into(), signing_in, outside))
}

/// Decides who may ask for operations. It takes access tokens if somebody issues them.
pub(super) fn operators(api: &Api, outside: Option<&KeySource>) -> Operators {
    if api.identity.is_some() || outside.is_some() {
        Operators::with_tokens(api.gate.clone())
    } else {
        Operators::unverified()
    }
}

/// The source of the outside issuer's keys, if there is one.
fn outside(args: &ServeArgs, health: &Health) -> Result<Option<KeySource>, cli_kit::Usage> {
    let own = &args.access_tokens.names.access_token_issuer;
    let source = args.oidc.source(own, args.cache.folder()?, health);
    source.map_err(|error| cli_kit::Usage(cli_kit::describe(&error)))
}
