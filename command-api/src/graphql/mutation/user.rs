//! The mutations of users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object};
use domain::user::Change;

use crate::application::input::EmptyChange;
use crate::application::use_case::{
    ChangeUserInput, ClassifyUserInput, DeactivateUserInput, PreferencesInput, ProfileInput,
    ReactivateUserInput, RegisterUserInput,
};
use crate::graphql::command::{Answer, Arguments, Options, run_on};
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
    /// The changes to the profile.
    profile: Option<UpdateProfile>,
    /// The changes to the preferences.
    preferences: Option<UpdatePreferences>,
}

/// The changes to a profile. A field that is absent stays as it is; `null` unsets it.
#[derive(InputObject)]
struct UpdateProfile {
    /// The name that others see.
    display_name: MaybeUndefined<String>,
    /// The language as it is written where the person lives, such as `de-AT`.
    locale: MaybeUndefined<String>,
    /// The telephone number in its international form.
    phone: MaybeUndefined<String>,
}

/// The changes to preferences. A field that is absent stays as it is; `null` unsets it.
#[derive(InputObject)]
struct UpdatePreferences {
    /// The language of mails and pages, a code of ISO 639.
    language: MaybeUndefined<String>,
    /// The currency to show prices in (ISO 4217).
    currency: MaybeUndefined<String>,
    /// Whether the user wants the newsletter.
    newsletter: Option<bool>,
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
    ) -> Answer<UserPayload> {
        let mut given = Arguments::default();
        let CreateUserInput { id, email, name } = input;
        let input = RegisterUserInput { id: given.read_new(id.as_ref()), email, name };
        given.run(ctx, input, Options { expected_version: None, idempotency_key, dry_run }).await
    }

    /// Changes the e-mail address, the name, the profile and the preferences.
    async fn update_user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        input: UpdateUserInput,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let UpdateUserInput { email, name, profile, preferences } = input;
        let options = Options { expected_version, idempotency_key, dry_run };
        let profile = profile.map(UpdateProfile::input);
        let preferences = preferences.map(UpdatePreferences::input);
        let empty = EmptyChange::Refused;
        let input = |user_id| ChangeUserInput { user_id, email, name, profile, preferences, empty };
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
    ) -> Answer<UserPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        run_on(ctx, ("/id", &id), |user_id| DeactivateUserInput { user_id }, options).await
    }

    /// Makes a deactivated user active again. The e-mail address must still be free.
    async fn reactivate_user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        run_on(ctx, ("/id", &id), |user_id| ReactivateUserInput { user_id }, options).await
    }

    /// Says which type of customer a user is: `consumer`, `business` or `reseller`.
    async fn classify_user(
        &self,
        ctx: &Context<'_>,
        id: ID,
        customer_type: String,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |user_id| ClassifyUserInput { user_id, customer_type };
        run_on(ctx, ("/id", &id), input, options).await
    }
}

/// The change of a field: absent keeps it, `null` unsets it.
fn change<T>(field: MaybeUndefined<T>) -> Change<T> {
    match field {
        MaybeUndefined::Undefined => Change::Keep,
        MaybeUndefined::Null => Change::Clear,
        MaybeUndefined::Value(value) => Change::Set(value),
    }
}

impl UpdateProfile {
    fn input(self) -> ProfileInput {
        let Self { display_name, locale, phone } = self;
        ProfileInput {
            display_name: change(display_name),
            locale: change(locale),
            phone: change(phone),
        }
    }
}

impl UpdatePreferences {
    fn input(self) -> PreferencesInput {
        let Self { language, currency, newsletter } = self;
        PreferencesInput { language: change(language), currency: change(currency), newsletter }
    }
}
