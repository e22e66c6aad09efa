//! The settings of `command-api access`.

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::StoreArgs;

/// The list or the change that the operator asks for.
#[derive(Debug, Subcommand)]
pub enum AccessAction {
    /// List the roles of a user.
    Roles(Box<UserArgs>),
    /// Give a user a role. The user's older access tokens are refused.
    Grant(Box<RoleArgs>),
    /// Take a role from a user. The user's older access tokens are refused.
    Revoke(Box<RoleArgs>),
    /// List the sessions of a user, the newest first.
    Sessions(Box<UserArgs>),
    /// End a session of a user.
    EndSession(Box<ItemArgs>),
    /// List the API keys of a user, the newest first.
    ApiKeys(Box<UserArgs>),
    /// Revoke an API key of a user.
    RevokeApiKey(Box<ItemArgs>),
}

/// The settings of the lists.
#[derive(Debug, Args)]
pub struct UserArgs {
    /// The user's id or e-mail address.
    pub user: String,
    /// Print JSON instead of a text for people.
    #[arg(long)]
    pub json: bool,
    /// How to reach the event store, the keys and the credentials.
    #[command(flatten)]
    pub stores: StoreArgs,
}

/// The settings of a change of roles.
#[derive(Debug, Args)]
pub struct RoleArgs {
    /// The user's id or e-mail address.
    pub user: String,
    /// The name of the role.
    pub role: access::RoleName,
    /// How to reach the event store, the keys and the credentials.
    #[command(flatten)]
    pub stores: StoreArgs,
}

/// The settings for one session or API key.
#[derive(Debug, Args)]
pub struct ItemArgs {
    /// The user's id or e-mail address.
    pub user: String,
    /// The id of the session or API key.
    pub id: Uuid,
    /// How to reach the event store, the keys and the credentials.
    #[command(flatten)]
    pub stores: StoreArgs,
}
