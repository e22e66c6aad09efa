//! The commands of the product aggregate.

use uuid::Uuid;

use crate::value::{Money, ProductName, RateClass};

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
    /// Changes the rate class. It decides the tax of orders that are confirmed afterwards. The same
    /// class changes nothing.
    Classify {
        /// The new rate class.
        rate_class: RateClass,
    },
    /// Corrects the units on hand, for example after they were counted. Zero changes nothing.
    AdjustStock {
        /// The number of units to add, or to remove if negative. Reserved units cannot be removed.
        delta: i64,
    },
    /// Adds units that arrived.
    ReceiveStock {
        /// The number of units, from 1.
        units: i64,
    },
    /// Reserves units for an order. If the order has a reservation already, nothing changes.
    ReserveStock {
        /// The order's id.
        order_id: Uuid,
        /// The number of units, over all lines of the order with this product.
        units: i64,
    },
    /// Makes the units of an order available again. Without a reservation, nothing changes.
    ReleaseStock {
        /// The order's id.
        order_id: Uuid,
    },
    /// Takes the units of an order out of the stock: those that are reserved for it, or available
    /// ones if none are.
    ShipStock {
        /// The order's id.
        order_id: Uuid,
        /// The number of units, over all lines of the order with this product.
        units: i64,
    },
}
