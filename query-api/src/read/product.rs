//! Questions for products with price and stock.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::list::{ListOf, Sorted, sorted};
use super::past::past;
use super::statement::Conditions;
use super::table::{Find, FindMany, by_id};
use super::{Asked, Read, Shown};
use crate::page::{Page, PageRequest};

postgres_kit::row! {
    /// A row of `read_model.products`.
    #[derive(Debug, Clone)]
    pub struct ProductRow {
        /// The product's id.
        pub id: Uuid,
        /// The product's name.
        pub name: String,
        /// The currency code of the price, such as `USD`.
        pub currency: String,
        /// The price of one unit, in minor units of the currency.
        pub unit_price_minor: i64,
        /// The rate class, which taxes depend on: `standard`, `reduced` or `zero`.
        pub rate_class: String,
        /// The number of units on hand, with the reserved ones.
        pub stock: i64,
        /// The number of units on hand that are reserved for orders.
        pub reserved: i64,
        /// The time when the product was added.
        pub created_at: DateTime<Utc>,
        /// The time of the last change of the row.
        pub updated_at: DateTime<Utc>,
        /// The version of the product's stream.
        pub version: i64,
        /// The position of the last event that changed the row.
        pub position: i64,
    }
}

by_id!(ProductRow in "products");
past!(ProductRow in "products", of id);

/// The question for one product by its id.
pub type FindProduct = Find<ProductRow>;
/// The question for many products by their ids.
pub type FindProducts = FindMany<ProductRow>;

/// The sorts of a list of products. The id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProductSort {
    /// By creation, oldest first.
    CreatedAtAsc,
    /// By creation, newest first.
    CreatedAtDesc,
    /// By name, A first.
    NameAsc,
    /// By name, Z first.
    NameDesc,
}

/// The statements of a list sorted by creation.
const BY_CREATED_AT: Sorted<ProductRow, DateTime<Utc>, Uuid> =
    sorted!(ProductRow in "products" [1], created_at: timestamptz, id: uuid);
/// The statements of a list sorted by name.
const BY_NAME: Sorted<ProductRow, String, Uuid> =
    sorted!(ProductRow in "products" [1], name: text, id: uuid);

/// The question for a page of products.
#[derive(Debug, Clone)]
pub struct ListProducts {
    /// Only products with this name.
    pub name: Option<String>,
    /// The page to read, and its sort.
    pub page_request: PageRequest<ProductSort>,
}

impl ProductRow {
    /// The row's key in this sort: the columns that the list is sorted by. The next page starts
    /// after it.
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

    fn is_planned_once(&self) -> bool {
        self.name.is_none() && !self.page_request.counts()
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("products", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let Self { name, page_request } = self;
        let conditions = Conditions::default().when(name.as_ref(), " AND name = $1")?;
        let list = ListOf::new(Self::CHECKPOINTS, conditions, page_request);
        match page_request.sort {
            ProductSort::CreatedAtAsc => list.page(snapshot, &BY_CREATED_AT.ascending).await,
            ProductSort::CreatedAtDesc => list.page(snapshot, &BY_CREATED_AT.descending).await,
            ProductSort::NameAsc => list.page(snapshot, &BY_NAME.ascending).await,
            ProductSort::NameDesc => list.page(snapshot, &BY_NAME.descending).await,
        }
    }
}
