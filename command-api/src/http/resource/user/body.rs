//! The bodies of `/api/vN/users` that all versions share, and the input that they are.

use serde::Deserialize;
use service_kit::input::Id;
use service_kit::input::schema::EmailAddress;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::application::use_case::{ClassifyUserInput, RegisterUserInput};
use crate::http::present;
use crate::http::text::{NewId, PersonName};

/// A user to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterUserBody {
    /// The new id of the user, a UUID of version 7. Without it, the server makes one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = NewId, required = false)]
    id: Option<Id>,
    /// The e-mail address. Each address belongs to one user. Upper and lower case are the same.
    #[schema(value_type = EmailAddress)]
    email: String,
    /// The person's name.
    #[schema(value_type = PersonName)]
    name: String,
}

/// The type of a customer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CustomerTypeBody {
    /// The type: `consumer`, `business` or `reseller`. Every user is a consumer at first.
    #[schema(pattern = "^(consumer|business|reseller)$", example = "business")]
    customer_type: String,
}

impl RegisterUserBody {
    pub(super) fn input(self) -> RegisterUserInput {
        let Self { id, email, name } = self;
        RegisterUserInput { id: id.map(Id::get), email, name }
    }
}

impl CustomerTypeBody {
    pub(super) fn input(self, user_id: Uuid) -> ClassifyUserInput {
        ClassifyUserInput { user_id, customer_type: self.customer_type }
    }
}
