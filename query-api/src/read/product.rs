//! Products with price and stock.

use chrono::{DateTime, Utc};
use postgres_kit::arguments;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::table::{Find, FindMany, ListOf, Sorted, by_id, count, sorted};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.products`.
    #[derive(Debug, Clone)]
    pub struct ProductRow {
        /// The product's id.
        pub id: Uuid,
        /// What it is called.
        pub name: String,
        /// Of its price.
        pub currency: String,
        /// The price of one.
        pub unit_price_minor: i64,
        /// How many are there.
        pub stock: i64,
        /// When it was added.
        pub created_at: DateTime<Utc>,
        /// When the row last changed.
        pub updated_at: DateTime<Utc>,
        /// Of the product's own stream.
        pub version: i64,
        /// Of the last event that changed the row.
        pub position: i64,
    }
}

by_id!(ProductRow in "products");

/// Asks for one product by its id.
pub type FindProduct = Find<ProductRow>;
/// Asks for many products by their ids.
pub type FindProducts = FindMany<ProductRow>;

/// The orders that a list of products can be in; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductSort {
    /// Oldest first.
    CreatedAtAsc,
    /// Newest first.
    CreatedAtDesc,
    /// By name, A first.
    NameAsc,
    /// By name, Z first.
    NameDesc,
}

/// A name.
const FILTER: &str = "($1::text IS NULL OR name = $1)";
const COUNT: &str = count!("products", FILTER);
/// Sorted by creation.
pub const BY_CREATED_AT: Sorted<ProductRow, DateTime<Utc>, Uuid> =
    sorted!(ProductRow in "products", FILTER[1], created_at: timestamptz, id: uuid);
/// Sorted by name.
pub const BY_NAME: Sorted<ProductRow, String, Uuid> =
    sorted!(ProductRow in "products", FILTER[1], name: text, id: uuid);

/// A list of products.
#[derive(Debug, Clone)]
pub struct ListProducts {
    /// Only with this name.
    pub name: Option<String>,
    /// Which page, in which order.
    pub page_request: PageRequest<ProductSort>,
}

impl ProductRow {
    /// Where a list in this sort goes on after the row: the columns that it is sorted by.
    pub fn key(&self, sort: ProductSort) -> Value {
        match sort {
            ProductSort::CreatedAtAsc | ProductSort::CreatedAtDesc => {
                json!([self.created_at, self.id])
            }
            ProductSort::NameAsc | ProductSort::NameDesc => json!([self.name, self.id]),
        }
    }
}

impl Read for ListProducts {
    type Answer = Page<ProductRow>;
    reads!("products");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("products", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { name, page_request } = self;
        let list = ListOf { count: COUNT, filters: arguments![name]?, page_request };
        let page = match page_request.sort {
            ProductSort::CreatedAtAsc => list.page(snapshot, &BY_CREATED_AT.ascending).await?,
            ProductSort::CreatedAtDesc => list.page(snapshot, &BY_CREATED_AT.descending).await?,
            ProductSort::NameAsc => list.page(snapshot, &BY_NAME.ascending).await?,
            ProductSort::NameDesc => list.page(snapshot, &BY_NAME.descending).await?,
        };
        Ok(page.into())
    }
}
