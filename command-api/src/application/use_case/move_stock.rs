//! Moves units from the stock of one product to that of another, in one append.

use access::{Owner, Permission};
use domain::product::{MAX_STOCK, ProductCommand, ProductError};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input, InvalidValue};

/// Units to move, as the caller writes them.
#[derive(Debug, Clone, Copy)]
pub struct MoveStockInput {
    /// The id of the product that loses the units.
    pub product_id: Uuid,
    /// The id of the product that gets them.
    pub to_product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: i64,
}

impl Input for MoveStockInput {
    type UseCase = MoveStock;

    fn read(self, _: &Environment) -> Result<MoveStock, CommandError> {
        let Self { product_id: from, to_product_id: to, quantity: units } = self;
        let mut fields = Fields::default();
        if !(1..=MAX_STOCK).contains(&units) {
            fields.refuse("quantity", InvalidValue::Units);
        }
        if from == to {
            fields.refuse("to_product_id", InvalidValue::SameProduct);
        }
        fields.check()?;
        Ok(MoveStock { from, to, units })
    }
}

/// Moves units between two products, for example when boxes are opened.
pub struct MoveStock {
    /// The id of the product that loses the units.
    pub from: Uuid,
    /// The id of the product that gets them.
    pub to: Uuid,
    /// The number of units, from 1.
    pub units: i64,
}

impl UseCase for MoveStock {
    const NAME: &'static str = "move_stock";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let products = work.products([self.from, self.to]).await?;
        let product = |id| products.iter().find(|product| product.id == id);
        let from = product(self.from).filter(|from| from.version.0 > 0);
        let from = work.checked(from.ok_or(ProductError::Unknown)?.clone())?;
        let to = product(self.to).filter(|to| to.version.0 > 0);
        let to =
            to.ok_or_else(|| CommandError::invalid("to_product_id", InvalidValue::UnknownProduct))?;
        let taken = from.decide([ProductCommand::AdjustStock { delta: -self.units }])?;
        let given = to.decide([ProductCommand::AdjustStock { delta: self.units }])?;
        Ok(work.changes(&from, &taken)?.and(to, &given, &work.metadata)?.into())
    }
}
