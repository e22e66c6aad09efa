//! `command-api access`: an operator lists and changes the roles, sessions and API keys of a user.
//! The running processes obey a change within a second.

use std::fmt::Write as _;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::value::Email;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::IdentityError;
use crate::auth::api_key::ListedKey;
use crate::auth::session::end::Why;
use crate::auth::user_access::{ListedSession, RoleChange, UserAccess};
use crate::config::{AccessAction, ItemArgs, RoleArgs, StoreArgs, UserArgs};
use crate::offline::Stores;

/// The name under which Postgres lists the connections.
const NAME: &str = "command-api access";
/// The error for a user without an account.
const NO_ACCOUNT: &str = "the user has no account, so nobody can log in with it";

/// Does what was asked for and prints it.
///
/// # Errors
/// There is no such user, role, session or key, the last administrator would go, or one of the
/// stores cannot be reached.
pub async fn run(action: &AccessAction) -> anyhow::Result<()> {
    let said = match action {
        AccessAction::Roles(args) => roles(args).await?,
        AccessAction::Grant(args) => change(args, RoleChange::Grant).await?,
        AccessAction::Revoke(args) => change(args, RoleChange::Revoke).await?,
        AccessAction::Sessions(args) => sessions(args).await?,
        AccessAction::ApiKeys(args) => keys(args).await?,
        AccessAction::EndSession(args) => {
            let ItemArgs { user, id, stores } = &**args;
            let (access, user) = find(user, stores).await?;
            let ended = access.end_session(user, *id, Why::Revoked).await;
            ended.map_err(|error| absent(error, "the user has no such session"))?;
            format!("session {id} has ended\n")
        }
        AccessAction::RevokeApiKey(args) => {
            let ItemArgs { user, id, stores } = &**args;
            let (access, user) = find(user, stores).await?;
            let revoked = access.revoke_key(user, *id).await;
            revoked.map_err(|error| absent(error, "the user has no such API key"))?;
            format!("API key {id} is revoked\n")
        }
    };
    Ok(cli_kit::print(said)?)
}

/// Opens the stores and finds the user.
async fn find(user: &str, stores: &StoreArgs) -> anyhow::Result<(UserAccess, Uuid)> {
    if let Ok(id) = user.parse() {
        return Ok((Stores::open(stores, NAME).await?.access, id));
    }
    let email = Email::parse(user).map_err(|_| {
        cli_kit::Usage("the user is neither an id nor an e-mail address".to_owned())
    })?;
    let access = Stores::open(stores, NAME).await?.access;
    let holder = access.directory.holder(&email).await?;
    Ok((access, holder.context("no user holds this e-mail address")?))
}

async fn roles(UserArgs { user, json, stores }: &UserArgs) -> anyhow::Result<String> {
    let (access, user) = find(user, stores).await?;
    let roles = access.roles(user).await.map_err(|error| absent(error, NO_ACCOUNT))?;
    if *json { as_json(&roles) } else { Ok(roles.join("\n") + "\n") }
}

async fn change(args: &RoleArgs, change: RoleChange) -> anyhow::Result<String> {
    let RoleArgs { user, role, stores } = args;
    let (access, user) = find(user, stores).await?;
    let changed = access.change_role(user, role, change, None).await;
    changed.map_err(|error| {
        absent(error, "there is no such role to give or take, or the user has no account")
    })?;
    Ok(match change {
        RoleChange::Grant => format!("user {user} has the role {role}\n"),
        RoleChange::Revoke => format!("user {user} does not have the role {role}\n"),
    })
}

async fn sessions(UserArgs { user, json, stores }: &UserArgs) -> anyhow::Result<String> {
    let (access, user) = find(user, stores).await?;
    let sessions = access.sessions(user).await?;
    if *json {
        return as_json(&sessions);
    }
    Ok(table(sessions.iter().map(|session| {
        let ListedSession { session_id, client, address, created_at, used_at, .. } = session;
        let state = match (&session.ended_at, &session.ended_why) {
            (Some(at), why) => {
                format!("ended {} ({})", time(*at), why.as_deref().unwrap_or("unknown"))
            }
            (None, _) => "live".to_owned(),
        };
        let address = address.as_deref().unwrap_or("-");
        let (begun, used) = (time(*created_at), time(*used_at));
        format!("{session_id}  {client}  from {address}  begun {begun}  used {used}  {state}")
    })))
}

async fn keys(UserArgs { user, json, stores }: &UserArgs) -> anyhow::Result<String> {
    let (access, user) = find(user, stores).await?;
    let keys = access.keys(user).await?;
    if *json {
        return as_json(&keys);
    }
    Ok(table(keys.iter().map(|key| {
        let ListedKey { key_id, name, scopes, created_at, used_at, .. } = key;
        let state = match (key.revoked_at, key.expires_at) {
            (Some(at), _) => format!("revoked {}", time(at)),
            (None, Some(at)) => format!("expires {}", time(at)),
            (None, None) => "does not expire".to_owned(),
        };
        let used = used_at.map_or_else(|| "never".to_owned(), time);
        format!("{key_id}  {name}  made {}  used {used}  {state}  {scopes}", time(*created_at))
    })))
}

/// One line per item.
fn table(items: impl Iterator<Item = String>) -> String {
    items.fold(String::new(), |mut all, item| {
        // Writing to a string does not fail.
        let _ = writeln!(all, "{item}");
        all
    })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn as_json(shown: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(shown)? + "\n")
}

/// The error of a command. `what` says what is absent if the store does not know it.
fn absent(error: IdentityError, what: &'static str) -> anyhow::Error {
    match error {
        IdentityError::Unknown => anyhow!(what),
        error => error.into(),
    }
}
