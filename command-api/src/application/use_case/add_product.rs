//! Adds a product to the shop.

use access::{Owner, Permission};
use domain::product::{MAX_STOCK, Product, ProductCommand};
use domain::value::{Money, ProductName};
use uuid::Uuid;

use super::change_product::new_price;
use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input, InvalidValue, NewId};

/// A new product, as the caller writes it.
#[derive(Debug, Clone)]
pub struct AddProductInput {
    /// The new id of the product, if the caller gives one.
    pub id: Option<Uuid>,
    /// The product's name.
    pub name: String,
    /// The price of one unit, as a decimal number.
    pub unit_price: String,
    /// The currency of the price, on the current ISO 4217 list.
    pub currency: String,
    /// The initial stock, in units.
    pub stock: i64,
}

impl Input for AddProductInput {
    type UseCase = AddProduct;

    fn read(self, _: &Environment) -> Result<AddProduct, CommandError> {
        let mut fields = Fields::default();
        let product_id = NewId::read(self.id, &mut fields);
        let name = fields.value("name", ProductName::parse(&self.name));
        let unit_price = new_price(&mut fields, &self.unit_price, &self.currency);
        let is_stock = (0..=MAX_STOCK).contains(&self.stock);
        let stock =
            fields.value("stock", is_stock.then_some(self.stock).ok_or(InvalidValue::Stock));
        let (Some(name), Some(unit_price), Some(stock)) = (name, unit_price, stock) else {
            return Err(fields.invalid().into());
        };
        fields.check()?;
        Ok(AddProduct { product_id, name, unit_price, stock })
    }
}

/// Adds a product.
pub struct AddProduct {
    /// The new id of the product.
    pub product_id: NewId,
    /// The product's name.
    pub name: ProductName,
    /// The price of one unit.
    pub unit_price: Money,
    /// The initial stock, in units.
    pub stock: i64,
}

impl UseCase for AddProduct {
    const NAME: &'static str = "add_product";
    const PERMISSION: Permission = Permission::ProductsWrite;
    const CREATES: bool = true;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let Self { product_id, ref name, unit_price, stock } = *self;
        let absent = work.created::<Product>(product_id).await?;
        let events = absent.decide([ProductCommand::Add {
            product_id: product_id.get(),
            name: name.clone(),
            unit_price,
            stock,
        }])?;
        Ok(work.changes(&absent, &events)?.into())
    }
}
