//! The commands of the product aggregate.

use uuid::Uuid;

use crate::value::{Money, ProductName};

/// A command to a product.
#[derive(Debug, Clone)]
pub enum ProductCommand {
    /// Adds the product to the shop.
    Add {
        /// The product's id.
        product_id: Uuid,
        /// The product's name.
        name: ProductName,
        /// The price of one unit.
        unit_price: Money,
        /// The initial stock, in units.
        stock: i64,
    },
    /// Renames the product. The same name changes nothing.
    Rename {
        /// The new name.
        name: ProductName,
    },
    /// Changes the price for future order lines. The same price changes nothing.
    Reprice {
        /// The new price of one unit.
        unit_price: Money,
    },
    /// Changes the stock. Zero changes nothing.
    AdjustStock {
        /// The number of units to add, or to remove if negative.
        delta: i64,
    },
}
