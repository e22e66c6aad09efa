//! Changes the stock of a product.

use access::{Owner, Permission};
use domain::product::ProductCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Adds units to a product's stock, or removes some.
pub struct AdjustStock {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units to add, or to remove if negative.
    pub delta: i64,
}

impl UseCase for AdjustStock {
    const NAME: &'static str = "adjust_stock";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let product = work.product(self.product_id).await?;
        let events = product.decide([ProductCommand::AdjustStock { delta: self.delta }])?;
        Ok(work.changes(&product, &events)?.into())
    }
}
