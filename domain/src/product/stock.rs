//! The stock of a product: units on hand, and those of them that are reserved for orders.
//!
//! The units on hand are never fewer than the reserved ones.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::event::{
    ProductStockAdjusted, ProductStockReceived, ProductStockReleased, ProductStockReserved,
    ProductStockShipped,
};
use super::{Added, ProductError};

/// The maximum stock of a product, in units. Every JSON reader represents it exactly.
pub const MAX_STOCK: i64 = 1_000_000_000_000;

/// The maximum number of orders with a reservation of one product at the same time. A reservation
/// ends when its order is shipped or cancelled. The limit keeps the state below half a megabyte.
pub const MAX_RESERVATIONS: usize = 10_000;

/// The units of a product.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Stock {
    /// The units on hand, with the reserved ones.
    on_hand: i64,
    /// The sum of all reservations.
    reserved: i64,
    /// Sorted by order id. A sorted list is copied faster than a map, and the ids of new orders
    /// come last.
    reservations: Vec<Reservation>,
}

/// The id of an order and the number of units that are reserved for it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Reservation(Uuid, i64);

impl Stock {
    /// A first stock without reservations.
    pub(super) const fn of(on_hand: i64) -> Self {
        Self { on_hand, reserved: 0, reservations: Vec::new() }
    }

    /// The units on hand that are not reserved.
    pub(super) const fn available(&self) -> i64 {
        self.on_hand.saturating_sub(self.reserved)
    }

    /// The approximate size of the reservations, in bytes.
    pub(super) const fn heap_bytes(&self) -> usize {
        self.reservations.len() * size_of::<Reservation>()
    }

    /// Checks a number of units on hand.
    pub(super) fn checked(on_hand: Option<i64>) -> Result<i64, ProductError> {
        on_hand.filter(|units| *units <= MAX_STOCK).ok_or(ProductError::StockTooLarge)
    }

    /// Sets the units on hand, as an event says.
    pub(super) const fn set_on_hand(&mut self, on_hand: i64) {
        self.on_hand = on_hand;
    }

    /// Begins a reservation, as an event says.
    pub(super) fn begin(&mut self, event: &ProductStockReserved) {
        if let Err(at) = self.find(event.order_id) {
            self.reservations.insert(at, Reservation(event.order_id, event.units));
        }
        self.reserved = event.reserved;
    }

    /// Ends a reservation, as an event says.
    pub(super) fn end(&mut self, order_id: Uuid, reserved: i64) {
        if let Ok(at) = self.find(order_id) {
            self.reservations.remove(at);
        }
        self.reserved = reserved;
    }

    /// Checks a number of units that are to be taken from the available ones.
    fn taken(&self, units: i64) -> Result<i64, ProductError> {
        let available = self.available();
        match units {
            ..1 => Err(ProductError::UnitsOutOfRange),
            units if units > available => Err(ProductError::NotEnoughStock { available }),
            units => Ok(units),
        }
    }

    fn units_of(&self, order_id: Uuid) -> Option<i64> {
        let at = self.find(order_id).ok()?;
        self.reservations.get(at).map(|Reservation(_, units)| *units)
    }

    fn find(&self, order_id: Uuid) -> Result<usize, usize> {
        self.reservations.binary_search_by_key(&order_id, |Reservation(order, _)| *order)
    }
}

/// What a product decides about its stock.
impl Added {
    pub(super) fn adjust_stock(
        &self,
        delta: i64,
    ) -> Result<Option<ProductStockAdjusted>, ProductError> {
        if delta == 0 {
            return Ok(None);
        }
        let stock = Stock::checked(self.stock.on_hand.checked_add(delta))?;
        if stock < self.stock.reserved {
            return Err(ProductError::NotEnoughStock { available: self.stock.available() });
        }
        Ok(Some(ProductStockAdjusted { product_id: self.product_id, delta, stock }))
    }

    pub(super) fn receive_stock(&self, units: i64) -> Result<ProductStockReceived, ProductError> {
        if units < 1 {
            return Err(ProductError::UnitsOutOfRange);
        }
        let stock = Stock::checked(self.stock.on_hand.checked_add(units))?;
        Ok(ProductStockReceived { product_id: self.product_id, units, stock })
    }

    pub(super) fn reserve_stock(
        &self,
        order_id: Uuid,
        units: i64,
    ) -> Result<Option<ProductStockReserved>, ProductError> {
        let stock = &self.stock;
        if stock.units_of(order_id).is_some() {
            return Ok(None);
        }
        let units = stock.taken(units)?;
        if stock.reservations.len() >= MAX_RESERVATIONS {
            return Err(ProductError::TooManyReservations);
        }
        let reserved = stock.reserved.saturating_add(units);
        Ok(Some(ProductStockReserved { product_id: self.product_id, order_id, units, reserved }))
    }

    pub(super) fn release_stock(&self, order_id: Uuid) -> Option<ProductStockReleased> {
        let units = self.stock.units_of(order_id)?;
        let reserved = self.stock.reserved.saturating_sub(units);
        Some(ProductStockReleased { product_id: self.product_id, order_id, units, reserved })
    }

    pub(super) fn ship_stock(
        &self,
        order_id: Uuid,
        units: i64,
    ) -> Result<ProductStockShipped, ProductError> {
        let (units, reserved) = match self.stock.units_of(order_id) {
            Some(units) => (units, self.stock.reserved.saturating_sub(units)),
            None => (self.stock.taken(units)?, self.stock.reserved),
        };
        let stock = self.stock.on_hand.saturating_sub(units);
        let product_id = self.product_id;
        Ok(ProductStockShipped { product_id, order_id, units, stock, reserved })
    }
}
