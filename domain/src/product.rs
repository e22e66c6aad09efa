//! The product aggregate: a product with its name, price and stock.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::value::{Money, ProductName};

pub mod command;
pub mod error;
pub mod event;
#[cfg(test)]
mod tests;

pub use command::ProductCommand;
pub use error::ProductError;
pub use event::ProductEvent;

use event::{ProductAdded, ProductRenamed, ProductRepriced, ProductStockAdjusted};

/// The maximum stock of a product, in units. Every JSON reader represents it exactly.
pub const MAX_STOCK: i64 = 1_000_000_000_000;

/// The state of a product. The default is a product that was never added.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Product {
    added: Option<Added>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Added {
    product_id: Uuid,
    name: ProductName,
    unit_price: Money,
    stock: i64,
}

/// The parts of a product that an order line copies. Only [`Product::offer`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    product_id: Uuid,
    name: ProductName,
    unit_price: Money,
}

impl Offer {
    /// The product's id.
    pub const fn product_id(&self) -> Uuid {
        self.product_id
    }

    /// The product's name.
    pub const fn name(&self) -> &ProductName {
        &self.name
    }

    /// The price of one unit.
    pub const fn unit_price(&self) -> Money {
        self.unit_price
    }

    /// The same product at another price, for orders imported with the prices of their time.
    #[must_use]
    pub fn at(self, unit_price: Money) -> Self {
        Self { unit_price, ..self }
    }
}

impl Product {
    /// The product as it can be ordered now.
    ///
    /// # Errors
    /// [`ProductError::Unknown`] if the product was never added.
    pub fn offer(&self) -> Result<Offer, ProductError> {
        let Added { product_id, name, unit_price, .. } = self.known()?;
        Ok(Offer { product_id: *product_id, name: name.clone(), unit_price: *unit_price })
    }

    fn known(&self) -> Result<&Added, ProductError> {
        self.added.as_ref().ok_or(ProductError::Unknown)
    }

    fn checked_stock(stock: Option<i64>) -> Result<i64, ProductError> {
        stock.filter(|stock| *stock <= MAX_STOCK).ok_or(ProductError::StockTooLarge)
    }
}

impl Aggregate for Product {
    type Command = ProductCommand;
    type Event = ProductEvent;
    type Error = ProductError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(1));

    fn heap_bytes(&self) -> usize {
        self.added.as_ref().map_or(0, |product| product.name.as_str().len())
    }

    fn decide(&self, command: ProductCommand) -> Result<Vec<ProductEvent>, ProductError> {
        match command {
            ProductCommand::Add { product_id, name, unit_price, stock } => {
                if self.added.is_some() {
                    return Err(ProductError::AlreadyAdded);
                }
                if stock < 0 {
                    return Err(ProductError::NotEnoughStock { stock: 0 });
                }
                let stock = Self::checked_stock(Some(stock))?;
                Ok(vec![ProductEvent::Added(ProductAdded { product_id, name, unit_price, stock })])
            }
            ProductCommand::Rename { name } => {
                let product = self.known()?;
                if product.name == name {
                    return Ok(Vec::new());
                }
                Ok(vec![ProductEvent::Renamed(ProductRenamed {
                    product_id: product.product_id,
                    name,
                })])
            }
            ProductCommand::Reprice { unit_price } => {
                let product = self.known()?;
                if product.unit_price == unit_price {
                    return Ok(Vec::new());
                }
                Ok(vec![ProductEvent::Repriced(ProductRepriced {
                    product_id: product.product_id,
                    unit_price,
                })])
            }
            ProductCommand::AdjustStock { delta } => {
                let product = self.known()?;
                if delta == 0 {
                    return Ok(Vec::new());
                }
                let stock = Self::checked_stock(product.stock.checked_add(delta))?;
                if stock < 0 {
                    return Err(ProductError::NotEnoughStock { stock: product.stock });
                }
                let product_id = product.product_id;
                Ok(vec![ProductEvent::StockAdjusted(ProductStockAdjusted {
                    product_id,
                    delta,
                    stock,
                })])
            }
        }
    }

    fn evolve(mut self, event: ProductEvent) -> Self {
        match (event, &mut self.added) {
            (ProductEvent::Added(ProductAdded { product_id, name, unit_price, stock }), _) => {
                self.added = Some(Added { product_id, name, unit_price, stock });
            }
            (ProductEvent::Renamed(renamed), Some(product)) => product.name = renamed.name,
            (ProductEvent::Repriced(repriced), Some(product)) => {
                product.unit_price = repriced.unit_price;
            }
            (ProductEvent::StockAdjusted(adjusted), Some(product)) => {
                product.stock = adjusted.stock;
            }
            // A stream begins with the addition, so no other event can come before it.
            (
                ProductEvent::Renamed(_)
                | ProductEvent::Repriced(_)
                | ProductEvent::StockAdjusted(_),
                None,
            ) => {}
        }
        self
    }
}
