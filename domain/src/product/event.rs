//! What happens to a product. Type strings and shapes are permanent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::value::{Money, ProductName};

/// Everything that happens to a product.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProductEvent {
    /// `product.added` v1
    Added(ProductAdded),
    /// `product.renamed` v1
    Renamed(ProductRenamed),
    /// `product.repriced` v1
    Repriced(ProductRepriced),
    /// `product.stock_adjusted` v1
    StockAdjusted(ProductStockAdjusted),
}

stored_events!(ProductEvent {
    Added(ProductAdded) => "product.added", 1;
    Renamed(ProductRenamed) => "product.renamed", 1;
    Repriced(ProductRepriced) => "product.repriced", 1;
    StockAdjusted(ProductStockAdjusted) => "product.stock_adjusted", 1;
});

impl ProductEvent {
    /// Which product's event it is.
    pub const fn product_id(&self) -> Uuid {
        match self {
            Self::Added(ProductAdded { product_id, .. })
            | Self::Renamed(ProductRenamed { product_id, .. })
            | Self::Repriced(ProductRepriced { product_id, .. })
            | Self::StockAdjusted(ProductStockAdjusted { product_id, .. }) => *product_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        vec![("product", self.product_id())]
    }
}

/// `product.added` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductAdded {
    /// The product's id.
    pub product_id: Uuid,
    /// The name.
    pub name: ProductName,
    /// What one costs.
    pub unit_price: Money,
    /// How many there are to begin with.
    pub stock: i64,
}

/// `product.renamed` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductRenamed {
    /// The product's id.
    pub product_id: Uuid,
    /// The new name.
    pub name: ProductName,
}

/// `product.repriced` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductRepriced {
    /// The product's id.
    pub product_id: Uuid,
    /// What one costs from now on.
    pub unit_price: Money,
}

/// `product.stock_adjusted` v1
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductStockAdjusted {
    /// The product's id.
    pub product_id: Uuid,
    /// How many more (or fewer) there are.
    pub delta: i64,
    /// How many there are now.
    pub stock: i64,
}
