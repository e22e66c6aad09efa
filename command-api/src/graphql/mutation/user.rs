//! The mutations of users.

use async_graphql::{Context, ID, InputObject, Object, Result};

use crate::application::use_case::{ChangeUserInput, DeactivateUserInput, RegisterUserInput};
use crate::graphql::command::{Ids, Options, run_on};
use crate::graphql::payload::UserPayload;

/// A user to register.
#[derive(InputObject)]
struct CreateUserInput {
    /// The id of the new user: a UUID of version 7. Without it, the server makes one.
    id: Option<ID>,
    /// The e-mail address. Each address belongs to one user. Upper and lower case are the same.
    email: String,
    /// The person's name: 1 to 200 characters.
    name: String,
}

/// The changes to a user. A field that is absent stays as it is.
#[derive(InputObject)]
struct UpdateUserInput {
    /// The new e-mail address.
    email: Option<String>,
    /// The new name.
    name: Option<String>,
}

#[derive(Default)]
pub(super) struct UserMutation;

#[Object]
impl UserMutation {
    /// Registers a user.
    async fn create_user(
        &self,
        ctx: &Context<'_>,
        input: CreateUserInput,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Result<UserPayload> {
        let mut ids = Ids::default();
        let CreateUserInput { id, email, name } = input;
        let input = RegisterUserInput { id: ids.read_new(id.as_ref()), email, name };
        ids.run(ctx, input, Options { expected_version: None, idempotency_key, dry_run }).await
    }

    /// Changes the e-mail address, the name, or both.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        input: UpdateUserInput,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Result<UserPayload> {
        let UpdateUserInput { email, name } = input;
        let options = Options { expected_version, idempotency_key, dry_run };
        let (profile, preferences) = (None, None);
        let input = |user_id| ChangeUserInput { user_id, email, name, profile, preferences };
        run_on(ctx, ("/id", &id), input, options).await
    }

    /// Deactivates a user, who then cannot order. The e-mail address becomes free.
    async fn delete_user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Result<UserPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        run_on(ctx, ("/id", &id), |user_id| DeactivateUserInput { user_id }, options).await
    }
}
