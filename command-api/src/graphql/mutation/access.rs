//! The mutations of the access of users: their roles, sessions and API keys. They append no event,
//! so they take neither a version nor an idempotency key. A repeat changes nothing.

use access::{Caller, RoleName};
use async_graphql::{Context, Error, ID, Object};
use service_kit::Problem;
use uuid::Uuid;

use crate::auth::user_access::RoleChange;
use crate::auth::{Identity, IdentityError};
use crate::graphql::command::{Answer, Arguments, failure};
use crate::graphql::payload::AccessPayload;
use crate::graphql::{Origin, command};
use crate::http::Api;

#[derive(Default)]
pub(super) struct AccessMutation;

#[Object]
impl AccessMutation {
    /// Gives a user a role. You must hold all rights of the role. The user's older access tokens
    /// are refused.
    async fn grant_role(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        role: String,
    ) -> Answer<AccessPayload> {
        change_role(ctx, &user_id, &role, RoleChange::Grant).await
    }

    /// Takes a role from a user. You must hold all rights of the role. The last administrator keeps
    /// the role.
    async fn revoke_role(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        role: String,
    ) -> Answer<AccessPayload> {
        change_role(ctx, &user_id, &role, RoleChange::Revoke).await
    }

    /// Ends a session of a user. For the sessions of others you need `access:manage`.
    async fn end_session(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        session_id: ID,
    ) -> Answer<AccessPayload> {
        let mut given = Arguments::default();
        let (user, session) =
            (given.read("/user_id", &user_id), given.read("/session_id", &session_id));
        run(ctx, given, user, async |identity, caller| {
            identity.end_session(caller, user, session).await
        })
        .await
    }

    /// Revokes an API key of a user. For the keys of others you need `access:manage`.
    async fn revoke_user_api_key(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        key_id: ID,
    ) -> Answer<AccessPayload> {
        let mut given = Arguments::default();
        let (user, key) = (given.read("/user_id", &user_id), given.read("/key_id", &key_id));
        run(ctx, given, user, async |identity, caller| {
            identity.revoke_user_key(caller, user, key).await
        })
        .await
    }
}

async fn change_role(
    ctx: &Context<'_>,
    user_id: &ID,
    role: &str,
    change: RoleChange,
) -> Answer<AccessPayload> {
    let mut given = Arguments::default();
    let user = given.read("/user_id", user_id);
    run(ctx, given, user, async |identity, caller| {
        let role: RoleName = role.parse().map_err(|_| IdentityError::Unknown)?;
        identity.change_role(caller, user, &role, change).await
    })
    .await
}

/// Runs a change and makes the payload.
async fn run(
    ctx: &Context<'_>,
    given: Arguments,
    user: Uuid,
    change: impl AsyncFnOnce(&Identity, &Caller) -> Result<(), IdentityError>,
) -> Answer<AccessPayload> {
    Some(changed(ctx, given, user, change).await)
}

async fn changed(
    ctx: &Context<'_>,
    given: Arguments,
    user: Uuid,
    change: impl AsyncFnOnce(&Identity, &Caller) -> Result<(), IdentityError>,
) -> Result<AccessPayload, Error> {
    command::count(ctx)?;
    let wrong = given.wrong();
    if !wrong.is_empty() {
        return Ok(AccessPayload::invalid(&wrong));
    }
    let (api, caller) = (ctx.data::<Api>()?, &ctx.data::<Origin>()?.caller);
    let changed = match api.identity() {
        Ok(identity) => change(identity, caller).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match changed {
        Ok(()) => Ok(AccessPayload::changed(user)),
        Err(problem) if is_input(&problem) => Ok(AccessPayload::refused(&problem)),
        Err(problem) => Err(failure(ctx, problem)?),
    }
}

/// Whether another input could help. It does not help a caller without the permission.
fn is_input(problem: &Problem) -> bool {
    matches!(problem.status().as_u16(), 404 | 409)
}
