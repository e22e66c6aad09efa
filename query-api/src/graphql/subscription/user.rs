//! Subscriptions to users.

use access::Permission;
use async_graphql::{Context, ID, Result, Subscription};

use super::{EventStream, Start, Subscriber, event};
use crate::graphql::connection::Wanted;
use crate::graphql::user::{SortUsers, User, UserFilter};
use crate::live::{Event, Follow, matches};
use crate::read::user::{ListUsers, UserRow};

event! {
    /// An event of users that are followed.
    UserEvent of Event<UserRow> {
        /// The user as they are now.
        user: User = |event| event.row.clone().map(User),
        /// The id of the row that left the list.
        left: ID = |event| event.left.map(ID::from),
    }
}

#[derive(Default)]
pub(super) struct UserSubscription;

#[Subscription]
impl UserSubscription {
    /// Follows one user.
    async fn user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<UserEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.scope(Permission::UsersRead)?;
        let start = Start { last_event_id, consistency_token };
        subscriber.follow_row::<UserRow, _>(&id, (Permission::UsersRead, scope), start).await
    }

    /// Follows the users that the caller may see, from a first page of them.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The number of users to begin with: 1 to 100. The default is 20.")]
        first: Option<i32>,
        filter: Option<UserFilter>,
        #[graphql(default_with = "SortUsers::CreatedAtDesc")] sort: SortUsers,
        #[graphql(desc = "The id of the last event that the client has.")] last_event_id: Option<
            String,
        >,
        #[graphql(desc = "The token of a command, whose effect the snapshot has to show.")]
        consistency_token: Option<String>,
    ) -> Result<EventStream<UserEvent>> {
        let subscriber = Subscriber::of(ctx)?;
        let scope = subscriber.scope(Permission::UsersRead)?;
        let failed = |problem| subscriber.failure(&problem);
        let (status, email) = filter.unwrap_or_default().read().map_err(failed)?;
        let list = ("users", &(status, &email, sort));
        let wanted = Wanted::first(list, sort.into(), first).map_err(failed)?;
        let status = status.map(|status| status.text().to_owned());
        let follow = Follow::list(scope, None, matches::users(status.clone(), email.clone()));
        let page_request = wanted.request.clone();
        let question = ListUsers { scope, status, email, page_request };
        let ask = subscriber
            .api
            .ask_list(question, move |api, page| wanted.info(api, page, UserRow::key));
        let start = Start { last_event_id, consistency_token };
        subscriber.follow((follow, ask), (Permission::UsersRead, scope), start).await
    }
}
