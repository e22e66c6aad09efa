//! The events of a product. Type strings and shapes are permanent.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::value::{Money, ProductName};

/// An event of a product.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ProductEvent {
    /// `product.added` v1: a product was added.
    Added(ProductAdded),
    /// `product.renamed` v1: the name changed.
    Renamed(ProductRenamed),
    /// `product.repriced` v1: the price changed.
    Repriced(ProductRepriced),
    /// `product.stock_adjusted` v1: the stock changed.
    StockAdjusted(ProductStockAdjusted),
}

stored_events!(ProductEvent {
    Added(ProductAdded) => "product.added", 1;
    Renamed(ProductRenamed) => "product.renamed", 1;
    Repriced(ProductRepriced) => "product.repriced", 1;
    StockAdjusted(ProductStockAdjusted) => "product.stock_adjusted", 1;
});

impl ProductEvent {
    /// The id of the product that the event belongs to.
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

/// The payload of `product.added` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductAdded {
    /// The product's id.
    pub product_id: Uuid,
    /// The product's name.
    pub name: ProductName,
    /// The price of one unit.
    pub unit_price: Money,
    /// The initial stock, in units.
    pub stock: i64,
}

/// The payload of `product.renamed` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductRenamed {
    /// The product's id.
    pub product_id: Uuid,
    /// The new name.
    pub name: ProductName,
}

/// The payload of `product.repriced` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductRepriced {
    /// The product's id.
    pub product_id: Uuid,
    /// The new price of one unit.
    pub unit_price: Money,
}

/// The payload of `product.stock_adjusted` v1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProductStockAdjusted {
    /// The product's id.
    pub product_id: Uuid,
    /// The change in units, negative if the stock went down.
    pub delta: i64,
    /// The stock after the change, in units.
    pub stock: i64,
}
