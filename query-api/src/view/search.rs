//! What was found, in the form that clients see.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::read::search::HitRow;

/// Something that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchHit {
    /// What it is.
    #[schema(value_type = SearchKind)]
    kind: String,
    /// Its id.
    id: Uuid,
    /// The name of a user or a product, or the names of the products in an order. Null for a user
    /// whose personal data were erased.
    #[schema(required = true)]
    title: Option<String>,
    /// The e-mail address of a user. Null for others, and after it was erased.
    #[schema(required = true)]
    email: Option<String>,
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SearchKind {
    User,
    Order,
    Product,
}

impl SearchKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 3] = [Self::User, Self::Order, Self::Product];

    /// The kind as stored in its column.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Order => "order",
            Self::Product => "product",
        }
    }
}

impl From<HitRow> for SearchHit {
    fn from(row: HitRow) -> Self {
        let title = if row.kind == SearchKind::Order.text() { row.words } else { row.name };
        Self { kind: row.kind, id: row.id, title, email: row.email }
    }
}
