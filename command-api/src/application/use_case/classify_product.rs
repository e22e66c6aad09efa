//! Says which rate class a product has for taxes.

use access::{Owner, Permission};
use domain::product::ProductCommand;
use domain::value::RateClass;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input};

/// The rate class of a product, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ClassifyProductInput {
    /// The product's id.
    pub product_id: Uuid,
    /// The class: `standard`, `reduced` or `zero`.
    pub rate_class: String,
}

impl Input for ClassifyProductInput {
    type UseCase = ClassifyProduct;

    fn read(self, _: &Environment) -> Result<ClassifyProduct, CommandError> {
        let mut fields = Fields::default();
        match fields.value("rate_class", self.rate_class.parse()) {
            Some(rate_class) => Ok(ClassifyProduct { product_id: self.product_id, rate_class }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Says which rate class a product has. Orders that are confirmed already keep their prices.
pub struct ClassifyProduct {
    /// The product's id.
    pub product_id: Uuid,
    /// The new rate class of the product.
    pub rate_class: RateClass,
}

impl UseCase for ClassifyProduct {
    const NAME: &'static str = "classify_product";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let product = work.product(self.product_id).await?;
        let events = product.decide([ProductCommand::Classify { rate_class: self.rate_class }])?;
        Ok(work.changes(&product, &events)?.into())
    }
}
