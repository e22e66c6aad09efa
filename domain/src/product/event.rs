//! The events of a product. Type strings and shapes are permanent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::stored_events;
use crate::value::{Money, ProductName, RateClass};

/// An event of a product.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ProductEvent {
    /// `product.added` v1: a product was added.
    Added(ProductAdded),
    /// `product.renamed` v1: the name changed.
    Renamed(ProductRenamed),
    /// `product.repriced` v1: the price changed.
    Repriced(ProductRepriced),
    /// `product.classified` v1: the rate class, which taxes depend on, changed.
    Classified(ProductClassified),
    /// `product.stock_adjusted` v1: the stock was corrected.
    StockAdjusted(ProductStockAdjusted),
    /// `product.stock_received` v1: units arrived.
    StockReceived(ProductStockReceived),
    /// `product.stock_reserved` v1: units were reserved for an order.
    StockReserved(ProductStockReserved),
    /// `product.stock_released` v1: the units of an order became available again.
    StockReleased(ProductStockReleased),
    /// `product.stock_shipped` v1: the units of an order left.
    StockShipped(ProductStockShipped),
}

stored_events!(ProductEvent {
    Added(ProductAdded) => "product.added", 1;
    Renamed(ProductRenamed) => "product.renamed", 1;
    Repriced(ProductRepriced) => "product.repriced", 1;
    Classified(ProductClassified) => "product.classified", 1;
    StockAdjusted(ProductStockAdjusted) => "product.stock_adjusted", 1;
    StockReceived(ProductStockReceived) => "product.stock_received", 1;
    StockReserved(ProductStockReserved) => "product.stock_reserved", 1;
    StockReleased(ProductStockReleased) => "product.stock_released", 1;
    StockShipped(ProductStockShipped) => "product.stock_shipped", 1;
});

impl ProductEvent {
    /// The id of the product that the event belongs to.
    pub const fn product_id(&self) -> Uuid {
        match self {
            Self::Added(ProductAdded { product_id, .. })
            | Self::Renamed(ProductRenamed { product_id, .. })
            | Self::Repriced(ProductRepriced { product_id, .. })
            | Self::Classified(ProductClassified { product_id, .. })
            | Self::StockAdjusted(ProductStockAdjusted { product_id, .. })
            | Self::StockReceived(ProductStockReceived { product_id, .. })
            | Self::StockReserved(ProductStockReserved { product_id, .. })
            | Self::StockReleased(ProductStockReleased { product_id, .. })
            | Self::StockShipped(ProductStockShipped { product_id, .. }) => *product_id,
        }
    }

    fn labels(&self) -> Vec<(&'static str, Uuid)> {
        let mut labels = vec![("product", self.product_id())];
        match self {
            Self::StockReserved(ProductStockReserved { order_id, .. })
            | Self::StockReleased(ProductStockReleased { order_id, .. })
            | Self::StockShipped(ProductStockShipped { order_id, .. }) => {
                labels.push(("order", *order_id));
            }
            Self::Added(_)
            | Self::Renamed(_)
            | Self::Repriced(_)
            | Self::Classified(_)
            | Self::StockAdjusted(_)
            | Self::StockReceived(_) => {}
        }
        labels
    }
}

/// The payload of `product.added` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductRenamed {
    /// The product's id.
    pub product_id: Uuid,
    /// The new name.
    pub name: ProductName,
}

/// The payload of `product.repriced` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductRepriced {
    /// The product's id.
    pub product_id: Uuid,
    /// The new price of one unit.
    pub unit_price: Money,
}

/// The payload of `product.classified` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductClassified {
    /// The product's id.
    pub product_id: Uuid,
    /// The new rate class. A product that was never classified is `standard`.
    pub rate_class: RateClass,
}

/// The payload of `product.stock_adjusted` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductStockAdjusted {
    /// The product's id.
    pub product_id: Uuid,
    /// The change in units, negative if the stock went down.
    pub delta: i64,
    /// The number of units on hand after the change.
    pub stock: i64,
}

/// The payload of `product.stock_received` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductStockReceived {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units that arrived.
    pub units: i64,
    /// The number of units on hand after that.
    pub stock: i64,
}

/// The payload of `product.stock_reserved` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductStockReserved {
    /// The product's id.
    pub product_id: Uuid,
    /// The order that the units are reserved for.
    pub order_id: Uuid,
    /// The number of units, over all lines of the order with this product.
    pub units: i64,
    /// The number of units reserved for all orders after that.
    pub reserved: i64,
}

/// The payload of `product.stock_released` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductStockReleased {
    /// The product's id.
    pub product_id: Uuid,
    /// The order that the units were reserved for.
    pub order_id: Uuid,
    /// The number of units that are available again.
    pub units: i64,
    /// The number of units reserved for all orders after that.
    pub reserved: i64,
}

/// The payload of `product.stock_shipped` v1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProductStockShipped {
    /// The product's id.
    pub product_id: Uuid,
    /// The order that the units were reserved for.
    pub order_id: Uuid,
    /// The number of units that left.
    pub units: i64,
    /// The number of units on hand after that.
    pub stock: i64,
    /// The number of units reserved for all orders after that.
    pub reserved: i64,
}
