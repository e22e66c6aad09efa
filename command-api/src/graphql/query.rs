//! The queries. The command API answers none about the shop: the query API does.

use access::Principal;
use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::Origin;

/// The root of queries.
pub(super) struct Query;

/// Who asks, and what they may do.
#[derive(SimpleObject)]
struct Viewer {
    /// The id of the user: a UUID. Null for a part of the system.
    user_id: Option<ID>,
    /// What the access token lets them do, as scopes: `orders:read`, or `orders:read.own` for their
    /// own.
    scope: String,
}

/// The questions that can be asked.
#[Object]
impl Query {
    /// Who asks; null without an access token.
    #[expect(clippy::unused_async, reason = "the library asks for it")]
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<Viewer>> {
        let caller = &ctx.data::<Origin>()?.caller;
        let user_id = match &caller.principal {
            Principal::Anonymous => return Ok(None),
            Principal::User { id } => Some(ID::from(id)),
            Principal::System { .. } => None,
        };
        Ok(Some(Viewer { user_id, scope: caller.grants.to_string() }))
    }
}
