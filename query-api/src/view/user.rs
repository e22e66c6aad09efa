//! A user, in the form that clients see.

use std::collections::BTreeMap;

use async_graphql::Enum;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::decimal;
use crate::read::user::{AddressColumn, SumsMinor, UserRow};

/// A user with totals over confirmed orders.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// The user's id.
    id: Uuid,
    /// The e-mail address. Null after the user's personal data were erased.
    #[schema(required = true)]
    email: Option<String>,
    /// The person's name. Null after the user's personal data were erased.
    #[schema(required = true)]
    name: Option<String>,
    /// Whether the user can order.
    #[schema(value_type = UserStatus)]
    status: String,
    /// What kind of customer the user is.
    #[schema(value_type = CustomerType)]
    customer_type: String,
    /// What the user says about themselves.
    profile: Profile,
    /// What the shop should do for the user.
    preferences: Preferences,
    /// The addresses, in the sequence in which they were added.
    addresses: Vec<Address>,
    /// The number of confirmed orders that were not cancelled afterwards.
    order_count: i64,
    /// The gross total of these orders, by currency.
    #[schema(example = json!({"USD": "87.15"}))]
    total_spent: BTreeMap<String, String>,
    /// What was refunded of these orders, by currency.
    #[schema(example = json!({"USD": "14.67"}))]
    total_refunded: BTreeMap<String, String>,
    /// The net total: `total_spent` less `total_refunded`, by currency.
    #[schema(example = json!({"USD": "72.48"}))]
    total_net: BTreeMap<String, String>,
    /// The total of all payments, by currency, also for orders that were cancelled afterwards.
    #[schema(example = json!({"USD": "72.48"}))]
    total_paid: BTreeMap<String, String>,
    /// The total of all refunds, by currency, also of cancelled orders.
    #[schema(example = json!({"USD": "14.67"}))]
    total_paid_back: BTreeMap<String, String>,
    /// The latest date of an order that was confirmed, also if it was cancelled afterwards.
    #[schema(required = true)]
    last_order_at: Option<DateTime<Utc>>,
    /// The time when the user was registered.
    created_at: DateTime<Utc>,
    /// The time of the latest change.
    updated_at: DateTime<Utc>,
    /// The version of the user. Each change raises it.
    version: i64,
}

/// What users say about themselves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Profile {
    /// The name that others see. Null if there is none, or it was erased.
    #[schema(required = true)]
    display_name: Option<String>,
    /// The language as it is written where the person lives. Null if not known, or erased.
    #[schema(required = true, example = "de-AT")]
    locale: Option<String>,
    /// The telephone number. Null if there is none, or it was erased.
    #[schema(required = true, example = "+4312345678")]
    phone: Option<String>,
}

/// What the shop should do for a user.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preferences {
    /// The language of mails and pages, if the user chose one.
    #[schema(required = true, example = "de")]
    language: Option<String>,
    /// The currency to show prices in, if the user chose one.
    #[schema(required = true, example = "EUR")]
    currency: Option<String>,
    /// Whether the user wants the newsletter.
    newsletter: bool,
}

/// An address of a user. Its texts are null after they were erased.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Address {
    /// The address's id.
    id: Uuid,
    /// What the user calls it, if it has a name.
    #[schema(required = true)]
    label: Option<String>,
    /// The person or company that receives what is sent there.
    #[schema(required = true)]
    recipient: Option<String>,
    /// The street and the number of the house.
    #[schema(required = true)]
    street: Option<String>,
    /// The city.
    #[schema(required = true)]
    city: Option<String>,
    /// The postal code, where the country has one.
    #[schema(required = true)]
    postal_code: Option<String>,
    /// A code of ISO 3166-1 alpha-2.
    #[schema(example = "AT")]
    country: String,
    /// The second part of a code of ISO 3166-2, if the address has one.
    #[schema(required = true)]
    region: Option<String>,
}

/// What kind of customer a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Enum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CustomerType {
    Consumer,
    Business,
    Reseller,
}

/// Whether a user can order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, Enum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserStatus {
    Active,
    Deactivated,
}

impl UserStatus {
    /// The status as stored in its column.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }
}

impl From<UserRow> for Profile {
    fn from(row: UserRow) -> Self {
        Self { display_name: row.display_name, locale: row.locale, phone: row.phone }
    }
}

impl From<UserRow> for Preferences {
    fn from(row: UserRow) -> Self {
        Self { language: row.language, currency: row.currency, newsletter: row.newsletter }
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            email: row.email,
            name: row.name,
            status: row.status,
            customer_type: row.customer_type,
            profile: Profile {
                display_name: row.display_name,
                locale: row.locale,
                phone: row.phone,
            },
            preferences: Preferences {
                language: row.language,
                currency: row.currency,
                newsletter: row.newsletter,
            },
            addresses: row.addresses.0.into_iter().map(Address::of).collect(),
            order_count: row.order_count,
            total_net: decimals(net(&row.total_spent.0, &row.total_refunded.0)),
            total_spent: decimals(row.total_spent.0),
            total_refunded: decimals(row.total_refunded.0),
            total_paid: decimals(row.total_paid.0),
            total_paid_back: decimals(row.total_paid_back.0),
            last_order_at: row.last_order_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
            version: row.version,
        }
    }
}

/// What is left of gross sums, by currency, after what was refunded of them.
pub(crate) fn net(gross: &SumsMinor, refunded: &SumsMinor) -> SumsMinor {
    let mut net = gross.clone();
    for (currency, minor) in refunded {
        let left = net.entry(currency.clone()).or_default();
        *left = left.saturating_sub(*minor);
    }
    net
}

/// Sums as decimal numbers, by currency.
pub(super) fn decimals(sums: SumsMinor) -> BTreeMap<String, String> {
    let decimals = sums.into_iter().map(|(currency, minor)| {
        let amount = decimal(minor, &currency);
        (currency, amount)
    });
    decimals.collect()
}

impl Address {
    pub(super) fn of(address: AddressColumn) -> Self {
        let AddressColumn { id, label, recipient, street, city, postal_code, country, region } =
            address;
        Self { id, label, recipient, street, city, postal_code, country, region }
    }
}
