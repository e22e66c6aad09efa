//! What a product can be asked.

use uuid::Uuid;

use crate::value::{Money, ProductName};

/// What a product can be asked.
#[derive(Debug, Clone)]
pub enum ProductCommand {
    /// Come into the shop.
    Add {
        /// The product's id.
        product_id: Uuid,
        /// The name.
        name: ProductName,
        /// What one costs.
        unit_price: Money,
        /// How many there are to begin with.
        stock: i64,
    },
    /// Take another name; the same name changes nothing.
    Rename {
        /// The new name.
        name: ProductName,
    },
    /// Take another price, for orders from now on; the same price changes nothing.
    Reprice {
        /// What one costs from now on.
        unit_price: Money,
    },
    /// Have more or fewer; zero changes nothing.
    AdjustStock {
        /// How many more, or fewer when negative.
        delta: i64,
    },
}
