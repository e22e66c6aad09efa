//! Products with price and stock.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Asked, Checkpoint, Page, PageRequest, Projection, Read, Shown};

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

/// One product.
#[derive(Debug, Clone, Copy)]
pub struct FindProduct(pub Uuid);

/// A list of products.
#[derive(Debug, Clone)]
pub struct ListProducts {
    /// Only with this name.
    pub name: Option<String>,
    /// Which partition.
    pub page_request: PageRequest<ProductSort>,
}

impl Read for FindProduct {
    type Answer = Option<ProductRow>;
    reads!("products");
    const BY_KEY: bool = true;

    fn row(&self, _: Projection) -> Option<String> {
        Some(self.0.to_string())
    }

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::row("products", answer.as_ref().map(|row| &row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let row = sqlx::query_file!("sql/products/find.sql", self.0).fetch_one(snapshot).await?;
        let checkpoints = Some(row.checkpoints.0);
        let found = || {
            Some(ProductRow {
                id: row.id?,
                name: row.name?,
                currency: row.currency?,
                unit_price_minor: row.unit_price_minor?,
                stock: row.stock?,
                created_at: row.created_at?,
                updated_at: row.updated_at?,
                version: row.version?,
                position: row.position?,
            })
        };
        Ok(Asked { data: found(), checkpoints })
    }
}

impl Read for ListProducts {
    type Answer = Page<ProductRow>;
    reads!("products");

    fn shown(answer: &Self::Answer) -> Shown {
        Shown::list("products", answer.rows.iter().map(|row| row.id))
    }

    async fn ask(&self, snapshot: &mut PgConnection) -> Result<Asked<Self::Answer>, sqlx::Error> {
        let name = self.name.as_deref();
        let total = if self.page_request.counts() {
            Some(
                sqlx::query_file_scalar!("sql/products/count.sql", name)
                    .fetch_one(&mut *snapshot)
                    .await?,
            )
        } else {
            None
        };
        let rows = match self.page_request.sort {
            ProductSort::CreatedAtAsc | ProductSort::CreatedAtDesc => {
                self.by_created_at(snapshot).await?
            }
            ProductSort::NameAsc | ProductSort::NameDesc => self.by_name(snapshot).await?,
        };
        Ok(self.page_request.page(rows, total).into())
    }
}

impl ListProducts {
    async fn by_created_at(
        &self,
        snapshot: &mut PgConnection,
    ) -> Result<Vec<ProductRow>, sqlx::Error> {
        let (name, (at, id)) =
            (self.name.as_deref(), self.page_request.after::<DateTime<Utc>, Uuid>()?);
        let (limit, offset) = (self.page_request.limit(), self.page_request.offset());
        if self.page_request.sort == ProductSort::CreatedAtAsc {
            sqlx::query_file_as!(
                ProductRow,
                "sql/products/by_created_at_asc.sql",
                name,
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        } else {
            sqlx::query_file_as!(
                ProductRow,
                "sql/products/by_created_at_desc.sql",
                name,
                at,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        }
    }

    async fn by_name(&self, snapshot: &mut PgConnection) -> Result<Vec<ProductRow>, sqlx::Error> {
        let (name, (after, id)) =
            (self.name.as_deref(), self.page_request.after::<String, Uuid>()?);
        let (limit, offset) = (self.page_request.limit(), self.page_request.offset());
        if self.page_request.sort == ProductSort::NameAsc {
            sqlx::query_file_as!(
                ProductRow,
                "sql/products/by_name_asc.sql",
                name,
                after,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        } else {
            sqlx::query_file_as!(
                ProductRow,
                "sql/products/by_name_desc.sql",
                name,
                after,
                id,
                limit,
                offset
            )
            .fetch_all(snapshot)
            .await
        }
    }
}
