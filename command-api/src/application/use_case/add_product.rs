//! A product comes into the shop.

use domain::product::{Product, ProductCommand};
use domain::value::{Money, ProductName};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::repository::Loaded;
use crate::http::error::CommandError;

/// Adds a product.
pub struct AddProduct {
    /// The id made for the product.
    pub product_id: Uuid,
    /// The name.
    pub name: ProductName,
    /// What one costs.
    pub unit_price: Money,
    /// How many there are to begin with.
    pub stock: i64,
}

impl UseCase for AddProduct {
    const NAME: &'static str = "add_product";

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { product_id, ref name, unit_price, stock } = *self;
        let absent = Loaded::<Product>::absent(product_id);
        let events = absent.decide([ProductCommand::Add {
            product_id,
            name: name.clone(),
            unit_price,
            stock,
        }])?;
        Ok(work.changes(&absent, &events)?.into())
    }
}
