//! Changes a product's name, price, or both.

use access::{Owner, Permission};
use domain::product::ProductCommand;
use domain::value::{Currency, Money, ProductName};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{EmptyChange, Environment, Fields, Input, InvalidValue};

/// A change of a product, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ChangeProductInput {
    /// The product's id.
    pub product_id: Uuid,
    /// The new name.
    pub name: Option<String>,
    /// The new price, as a decimal number.
    pub unit_price: Option<String>,
    /// The currency of the price, on the current ISO 4217 list. The default is the product's own.
    pub currency: Option<String>,
    /// Whether a change without a name and a price is allowed.
    pub empty: EmptyChange,
}

impl Input for ChangeProductInput {
    type UseCase = ChangeProduct;

    fn read(self, _: &Environment) -> Result<ChangeProduct, CommandError> {
        let Self { product_id, name: new_name, unit_price, currency, empty } = self;
        let mut fields = Fields::default();
        let name = new_name.as_deref().map(ProductName::parse);
        let name = name.and_then(|name| fields.value("name", name));
        let price = match (unit_price, currency) {
            (Some(price), Some(currency)) => {
                new_price(&mut fields, &price, &currency).map(NewPrice::Full)
            }
            (Some(price), None) => Some(NewPrice::InOwnCurrency(price)),
            (None, Some(_)) => {
                fields.refuse("unit_price", InvalidValue::PriceMissing);
                None
            }
            (None, None) => {
                if new_name.is_none() {
                    empty.check(&mut fields, "name and unit_price");
                }
                None
            }
        };
        fields.check()?;
        Ok(ChangeProduct { product_id, name, price })
    }
}

/// Reads a new price from the fields `unit_price` and `currency`. The currency must be on the
/// current list.
pub(super) fn new_price(fields: &mut Fields, price: &str, currency: &str) -> Option<Money> {
    let of_today = currency.parse::<Currency>().and_then(Currency::for_new_prices);
    let currency = fields.value("currency", of_today)?;
    fields.value("unit_price", Money::parse(price, currency))
}

/// Renames a product, reprices it, or both.
pub struct ChangeProduct {
    /// The product's id.
    pub product_id: Uuid,
    /// The new name.
    pub name: Option<ProductName>,
    /// The new price.
    pub price: Option<NewPrice>,
}

/// A price as the caller wrote it.
#[derive(Debug, Clone)]
pub enum NewPrice {
    /// An amount with its currency.
    Full(Money),
    /// A decimal string in the product's own currency.
    InOwnCurrency(String),
}

impl NewPrice {
    fn in_currency(&self, own: Currency) -> Result<Money, CommandError> {
        match self {
            Self::Full(price) => Ok(*price),
            Self::InOwnCurrency(text) => {
                let price = own.for_new_prices().and_then(|own| Money::parse(text, own));
                price.map_err(|reason| CommandError::invalid("unit_price", reason))
            }
        }
    }
}

impl UseCase for ChangeProduct {
    const NAME: &'static str = "change_product";
    const PERMISSION: Permission = Permission::ProductsWrite;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let product = work.product(self.product_id).await?;
        let own = product.state.offer()?.unit_price().currency();
        let unit_price = self.price.as_ref().map(|price| price.in_currency(own)).transpose()?;
        let rename = self.name.clone().map(|name| ProductCommand::Rename { name });
        let reprice = unit_price.map(|unit_price| ProductCommand::Reprice { unit_price });
        let events = product.decide(rename.into_iter().chain(reprice))?;
        Ok(work.changes(&product, &events)?.into())
    }
}
