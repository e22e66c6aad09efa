//! Adds units that arrived to the stock of a product.

use access::{Owner, Permission};
use domain::product::{MAX_STOCK, ProductCommand};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Input, InvalidValue};

/// Units that arrived, as the caller writes them.
#[derive(Debug, Clone, Copy)]
pub struct ReceiveStockInput {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: i64,
}

impl Input for ReceiveStockInput {
    type UseCase = ReceiveStock;

    fn read(self, _: &Environment) -> Result<ReceiveStock, CommandError> {
        let Self { product_id, quantity: units } = self;
        if (1..=MAX_STOCK).contains(&units) {
            Ok(ReceiveStock { product_id, units })
        } else {
            Err(CommandError::invalid("quantity", InvalidValue::Units))
        }
    }
}

/// Adds units to the stock of a product.
pub struct ReceiveStock {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub units: i64,
}

impl UseCase for ReceiveStock {
    const NAME: &'static str = "receive_stock";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let product = work.product(self.product_id).await?;
        let events = product.decide([ProductCommand::ReceiveStock { units: self.units }])?;
        Ok(work.changes(&product, &events)?.into())
    }
}
