//! The handlers of `/api/vN/users/{id}/addresses`.

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use service_kit::extract::Path;
use service_kit::input::Id;
use service_kit::{Envelope, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::USERS;
use crate::application::use_case::{
    AddAddressInput, AddressInput, ChangeAddressInput, RemoveAddress,
};
use crate::http::Api;
use crate::http::answer::Changed;
use crate::http::received::{Received, ReceivedBare};
use crate::http::text::{AddressLabel, City, CountryCode, Recipient, Street};

/// The routes of a user's addresses.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(add)).routes(routes!(change, remove))
}

/// An address.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddressBody {
    /// What the user calls it.
    #[serde(default)]
    #[schema(value_type = Option<AddressLabel>, required = false)]
    label: Option<String>,
    /// The person or company that receives.
    #[schema(value_type = Recipient)]
    recipient: String,
    /// The street with the number of the house, or a post-office box.
    #[schema(value_type = Street)]
    street: String,
    /// The city or town.
    #[schema(value_type = City)]
    city: String,
    /// The postal code, where the country has one.
    #[serde(default)]
    #[schema(
        required = false,
        min_length = 1,
        max_length = 12,
        example = "1010",
        pattern = "^[A-Za-z0-9]([A-Za-z0-9 -]*[A-Za-z0-9])?$"
    )]
    postal_code: Option<String>,
    /// The country, a code of ISO 3166-1 alpha-2.
    #[schema(value_type = CountryCode)]
    country: String,
    /// The region of the country, where taxes depend on it: the second part of a code of
    /// ISO 3166-2.
    #[serde(default)]
    #[schema(required = false, pattern = "^[A-Z0-9]{1,3}$", example = "9")]
    region: Option<String>,
}

impl AddressBody {
    fn input(self) -> AddressInput {
        let Self { label, recipient, street, city, postal_code, country, region } = self;
        AddressInput { label, recipient, street, city, postal_code, country, region }
    }
}

/// Add an address to a user.
#[utoipa::path(
    post, path = "/users/{id}/addresses", operation_id = "addAddress", tag = "users",
        request_body = AddressBody,
    params(("id" = inline(Id), Path, description = "The user's id")),
    responses((status = 201, description = "The address is added; Location names the user",
        body = Envelope<Changed>)),
)]
async fn add(
    State(api): State<Api>,
    Path(user_id): Path<Id>,
    received: Received<AddressBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let input = AddAddressInput { user_id: user_id.get(), address: body.input() };
    api.create(input, about, USERS).await
}

/// Change an address as a whole. Orders that were placed with it keep their copy.
#[utoipa::path(
    put, path = "/users/{id}/addresses/{address_id}", operation_id = "changeAddress",
        tag = "users", request_body = AddressBody,
    params(("id" = inline(Id), Path, description = "The user's id"), ("address_id" = inline(Id),
        Path, description = "The address's id")),
    responses((status = 200, description = "The address is changed", body = Envelope<Changed>)),
)]
async fn change(
    State(api): State<Api>,
    Path((user_id, address_id)): Path<(Id, Id)>,
    received: Received<AddressBody>,
) -> Result<Response, Problem> {
    let Received { body, about } = received;
    let (user_id, address_id) = (user_id.get(), address_id.get());
    api.change(ChangeAddressInput { user_id, address_id, address: body.input() }, about).await
}

/// Remove an address. Orders that were placed with it keep their copy.
#[utoipa::path(
    delete, path = "/users/{id}/addresses/{address_id}", operation_id = "removeAddress",
        tag = "users",
    params(("id" = inline(Id), Path, description = "The user's id"), ("address_id" = inline(Id),
        Path, description = "The address's id")),
    responses((status = 200, description = "The address is removed", body = Envelope<Changed>)),
)]
async fn remove(
    State(api): State<Api>,
    Path((user_id, address_id)): Path<(Id, Id)>,
    received: ReceivedBare,
) -> Result<Response, Problem> {
    let (user_id, address_id) = (user_id.get(), address_id.get());
    api.change(RemoveAddress { user_id, address_id }, received.about).await
}
