//! A product takes another name, another price, or both.

use domain::product::ProductCommand;
use domain::value::{Currency, Money, ProductName};
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::http::error::CommandError;

/// Renames a product, reprices it, or both.
pub struct ChangeProduct {
    /// Which.
    pub product_id: Uuid,
    /// The new name.
    pub name: Option<ProductName>,
    /// The new price.
    pub price: Option<NewPrice>,
}

/// A price as the caller wrote it.
#[derive(Debug, Clone)]
pub enum NewPrice {
    /// With its currency.
    Full(Money),
    /// A decimal string in the product's own currency.
    InOwnCurrency(String),
}

impl NewPrice {
    fn in_currency(&self, own: Currency) -> Result<Money, CommandError> {
        match self {
            Self::Full(price) => Ok(*price),
            Self::InOwnCurrency(text) => {
                own.for_new_prices().and_then(|own| Money::parse(text, own)).map_err(|reason| {
                    CommandError::Price { pointer: "/unit_price".to_owned(), reason }
                })
            }
        }
    }
}

impl UseCase for ChangeProduct {
    const NAME: &'static str = "change_product";

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
