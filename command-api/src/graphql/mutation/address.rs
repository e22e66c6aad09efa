//! The mutations of the addresses of users.

use async_graphql::{Context, ID, InputObject, Object};

use crate::application::use_case::{
    AddAddressInput, AddressInput, ChangeAddressInput, RemoveAddress,
};
use crate::graphql::command::{Answer, Arguments, Options, run_on};
use crate::graphql::payload::UserPayload;

/// A postal address.
#[derive(InputObject)]
struct Address {
    /// What the user calls it, such as `home`.
    label: Option<String>,
    /// The name on the letter or parcel.
    recipient: String,
    /// The street, with the number.
    street: String,
    /// The city.
    city: String,
    /// The postal code.
    postal_code: Option<String>,
    /// The country, a code of two letters (ISO 3166-1).
    country: String,
    /// The region within the country (ISO 3166-2, without the country).
    region: Option<String>,
}

impl Address {
    fn input(self) -> AddressInput {
        let Self { label, recipient, street, city, postal_code, country, region } = self;
        AddressInput { label, recipient, street, city, postal_code, country, region }
    }
}

#[derive(Default)]
pub(super) struct AddressMutation;

#[Object]
impl AddressMutation {
    /// Adds an address to a user, who may have 10.
    async fn add_address(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        input: Address,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let options = Options { expected_version, idempotency_key, dry_run };
        let input = |user_id| AddAddressInput { user_id, address: input.input() };
        run_on(ctx, ("/user_id", &user_id), input, options).await
    }

    /// Replaces an address of a user.
    #[allow(clippy::too_many_arguments, reason = "they are the arguments of the mutation")]
    async fn change_address(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        address_id: ID,
        input: Address,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let mut given = Arguments::default();
        let input = ChangeAddressInput {
            user_id: given.read("/user_id", &user_id),
            address_id: given.read("/address_id", &address_id),
            address: input.input(),
        };
        given.run(ctx, input, Options { expected_version, idempotency_key, dry_run }).await
    }

    /// Removes an address of a user.
    async fn remove_address(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        address_id: ID,
        expected_version: Option<i64>,
        idempotency_key: Option<String>,
        #[graphql(default)] dry_run: bool,
    ) -> Answer<UserPayload> {
        let mut given = Arguments::default();
        let input = RemoveAddress {
            user_id: given.read("/user_id", &user_id),
            address_id: given.read("/address_id", &address_id),
        };
        given.run(ctx, input, Options { expected_version, idempotency_key, dry_run }).await
    }
}
