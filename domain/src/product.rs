//! The product aggregate: a product with its name, price and stock.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::aggregate::{Aggregate, SnapshotCodec};
use crate::value::{Money, ProductName, RateClass};

pub mod command;
pub mod error;
pub mod event;
mod stock;
#[cfg(test)]
mod tests;

pub use command::ProductCommand;
pub use error::ProductError;
pub use event::ProductEvent;
pub use stock::{MAX_RESERVATIONS, MAX_STOCK};

use event::{ProductAdded, ProductClassified, ProductRenamed, ProductRepriced};
use stock::Stock;

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
    rate_class: RateClass,
    stock: Stock,
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

    /// The rate class, which the tax of an order depends on.
    pub fn rate_class(&self) -> RateClass {
        self.added.as_ref().map(|product| product.rate_class).unwrap_or_default()
    }

    fn known(&self) -> Result<&Added, ProductError> {
        self.added.as_ref().ok_or(ProductError::Unknown)
    }

    fn add(
        &self,
        product_id: Uuid,
        name: ProductName,
        unit_price: Money,
        stock: i64,
    ) -> Result<ProductAdded, ProductError> {
        if self.added.is_some() {
            return Err(ProductError::AlreadyAdded);
        }
        if stock < 0 {
            return Err(ProductError::NotEnoughStock { available: 0 });
        }
        let stock = Stock::checked(Some(stock))?;
        Ok(ProductAdded { product_id, name, unit_price, stock })
    }
}

impl Added {
    fn rename(&self, name: ProductName) -> Option<ProductRenamed> {
        (self.name != name).then_some(ProductRenamed { product_id: self.product_id, name })
    }

    fn reprice(&self, unit_price: Money) -> Option<ProductRepriced> {
        let product_id = self.product_id;
        (self.unit_price != unit_price).then_some(ProductRepriced { product_id, unit_price })
    }

    fn classify(&self, rate_class: RateClass) -> Option<ProductClassified> {
        let product_id = self.product_id;
        (self.rate_class != rate_class).then_some(ProductClassified { product_id, rate_class })
    }
}

impl Aggregate for Product {
    type Command = ProductCommand;
    type Event = ProductEvent;
    type Error = ProductError;
    const SNAPSHOT: Option<SnapshotCodec<Self>> = Some(SnapshotCodec::with_shape(3));

    fn heap_bytes(&self) -> usize {
        self.added
            .as_ref()
            .map_or(0, |product| product.name.as_str().len() + product.stock.heap_bytes())
    }

    fn decide(&self, command: ProductCommand) -> Result<Vec<ProductEvent>, ProductError> {
        use {ProductCommand as Command, ProductEvent as Event};
        let event = match command {
            Command::Add { product_id, name, unit_price, stock } => {
                Some(Event::Added(self.add(product_id, name, unit_price, stock)?))
            }
            Command::Rename { name } => self.known()?.rename(name).map(Event::Renamed),
            Command::Reprice { unit_price } => {
                self.known()?.reprice(unit_price).map(Event::Repriced)
            }
            Command::Classify { rate_class } => {
                self.known()?.classify(rate_class).map(Event::Classified)
            }
            Command::AdjustStock { delta } => {
                self.known()?.adjust_stock(delta)?.map(Event::StockAdjusted)
            }
            Command::ReceiveStock { units } => {
                Some(Event::StockReceived(self.known()?.receive_stock(units)?))
            }
            Command::ReserveStock { order_id, units } => {
                self.known()?.reserve_stock(order_id, units)?.map(Event::StockReserved)
            }
            Command::ReleaseStock { order_id } => {
                self.known()?.release_stock(order_id).map(Event::StockReleased)
            }
            Command::ShipStock { order_id, units } => {
                Some(Event::StockShipped(self.known()?.ship_stock(order_id, units)?))
            }
        };
        Ok(event.into_iter().collect())
    }

    fn evolve(mut self, event: ProductEvent) -> Self {
        use ProductEvent as Event;
        match (event, &mut self.added) {
            (Event::Added(ProductAdded { product_id, name, unit_price, stock }), _) => {
                let (rate_class, stock) = (RateClass::default(), Stock::of(stock));
                self.added = Some(Added { product_id, name, unit_price, rate_class, stock });
            }
            (Event::Renamed(renamed), Some(product)) => product.name = renamed.name,
            (Event::Repriced(repriced), Some(product)) => product.unit_price = repriced.unit_price,
            (Event::Classified(classified), Some(product)) => {
                product.rate_class = classified.rate_class;
            }
            (Event::StockAdjusted(adjusted), Some(product)) => {
                product.stock.set_on_hand(adjusted.stock);
            }
            (Event::StockReceived(received), Some(product)) => {
                product.stock.set_on_hand(received.stock);
            }
            (Event::StockReserved(reserved), Some(product)) => product.stock.begin(&reserved),
            (Event::StockReleased(released), Some(product)) => {
                product.stock.end(released.order_id, released.reserved);
            }
            (Event::StockShipped(shipped), Some(product)) => {
                product.stock.set_on_hand(shipped.stock);
                product.stock.end(shipped.order_id, shipped.reserved);
            }
            // A stream begins with the addition, so no other event can come before it.
            (
                Event::Renamed(_)
                | Event::Repriced(_)
                | Event::Classified(_)
                | Event::StockAdjusted(_)
                | Event::StockReceived(_)
                | Event::StockReserved(_)
                | Event::StockReleased(_)
                | Event::StockShipped(_),
                None,
            ) => {}
        }
        self
    }
}
