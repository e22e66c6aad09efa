//! What an order takes from the stock of products.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Order;
use crate::value::Quantity;

impl Order {
    /// The number of units that the order takes of each product, sorted by the product's id.
    ///
    /// An order that was imported from another system takes nothing: its units left the stock
    /// there. It is the one with a date of its own.
    pub fn units_by_product(&self) -> BTreeMap<Uuid, i64> {
        let mut units = BTreeMap::new();
        let order = self.placed.as_ref().filter(|order| order.ordered_at.is_none());
        for line in order.iter().flat_map(|order| &order.lines) {
            let of_product: &mut i64 = units.entry(line.product_id).or_default();
            // Each of at most 100 lines has at most a million units.
            *of_product = of_product.saturating_add(i64::from(line.quantity.get()));
        }
        units
    }

    /// The product and the number of units of each line.
    pub fn items(&self) -> Vec<(Uuid, Quantity)> {
        let lines = self.placed.iter().flat_map(|order| &order.lines);
        lines.map(|line| (line.product_id, line.quantity)).collect()
    }

    /// The first line with which the order takes more of a product than `available` units: its
    /// index, counted from 0, and its id.
    pub fn line_beyond(&self, product_id: Uuid, available: i64) -> Option<(usize, Uuid)> {
        let mut taken = 0_i64;
        let lines = self.placed.iter().flat_map(|order| &order.lines).enumerate();
        lines.filter(|(_, line)| line.product_id == product_id).find_map(|(index, line)| {
            taken = taken.saturating_add(i64::from(line.quantity.get()));
            (taken > available).then_some((index, line.line_id))
        })
    }
}
