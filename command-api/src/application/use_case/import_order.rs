//! Imports an order from another system, with its original prices and date.

use access::{Owner, Permission};
use chrono::{DateTime, TimeZone, Utc};
use domain::order::OrderLine;
use domain::value::{Currency, Money, MoneyError, Quantity};
use uuid::Uuid;

use super::place_order::{Content, Parties, check_line_count, place};
use super::{Decision, Orderer, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Fields, Input, InvalidValue, NewId};

/// The first year in which an imported order may have been placed.
pub const EARLIEST_YEAR: i32 = 1900;

/// An order from another system, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ImportOrderInput {
    /// The new id of the order, if the caller gives one.
    pub id: Option<Uuid>,
    /// The user who ordered.
    pub user_id: Uuid,
    /// The original time of the order: not before [`EARLIEST_YEAR`] and not in the future.
    pub ordered_at: DateTime<Utc>,
    /// The currency of the lines that name none. Withdrawn currencies are allowed.
    pub currency: Option<String>,
    /// The lines of the order: as many as any order may have.
    pub lines: Vec<ImportedLineInput>,
}

/// A line with its original price, as the caller writes it.
#[derive(Debug, Clone)]
pub struct ImportedLineInput {
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: i64,
    /// The price of one unit, as a decimal number.
    pub unit_price: String,
    /// The currency of the price. All prices of an order are in one currency.
    pub currency: Option<String>,
}

/// What is known of the currency of an order while its lines are read.
#[derive(Debug, Clone, Copy)]
enum OrderCurrency {
    /// Neither the order nor a line so far names a currency.
    Unnamed,
    /// The order names a text that is not a currency. The error is recorded already.
    Invalid,
    /// All prices are in this currency.
    Known(Currency),
}

impl ImportOrderInput {
    /// Checks whether imports are enabled. A representation can ask this before it reads a request.
    ///
    /// # Errors
    /// [`CommandError::NotOffered`] if imports are turned off.
    pub fn check_offered(environment: &Environment) -> Result<(), CommandError> {
        if environment.order_import { Ok(()) } else { Err(CommandError::NotOffered) }
    }
}

impl Input for ImportOrderInput {
    type UseCase = ImportOrder;

    fn read(self, environment: &Environment) -> Result<ImportOrder, CommandError> {
        Self::check_offered(environment)?;
        let mut fields = Fields::default();
        let order_id = NewId::read(self.id, &mut fields);
        let mut currency = OrderCurrency::read(self.currency.as_deref(), &mut fields);
        let ordered_at = dated(self.ordered_at, environment.clock.now());
        let ordered_at = fields.value("ordered_at", ordered_at);
        check_line_count(&mut fields, self.lines.len());
        let lines = self.lines.iter().enumerate();
        let read =
            |(at, line): (usize, &ImportedLineInput)| line.read(&mut fields, at, &mut currency);
        let lines = lines.filter_map(read).collect();
        let Some(ordered_at) = ordered_at else { return Err(fields.invalid().into()) };
        fields.check()?;
        Ok(ImportOrder { order_id, user_id: self.user_id, ordered_at, lines })
    }
}

impl OrderCurrency {
    fn read(named: Option<&str>, fields: &mut Fields) -> Self {
        let Some(named) = named else { return Self::Unnamed };
        fields.value("currency", named.parse::<Currency>()).map_or(Self::Invalid, Self::Known)
    }
}

impl ImportedLineInput {
    /// Reads the line at this index. Its price is read only if the currency is known.
    fn read(
        &self,
        fields: &mut Fields,
        at: usize,
        of_order: &mut OrderCurrency,
    ) -> Option<ImportedLine> {
        let quantity = fields.value(("lines", at, "quantity"), Quantity::try_from(self.quantity));
        let currency = self.read_currency(fields, at, of_order);
        let price = Money::parse(&self.unit_price, currency?);
        let unit_price = fields.value(("lines", at, "unit_price"), price);
        Some(ImportedLine {
            line_id: Uuid::now_v7(),
            product_id: self.product_id,
            quantity: quantity?,
            unit_price: unit_price?,
        })
    }

    fn read_currency(
        &self,
        fields: &mut Fields,
        at: usize,
        of_order: &mut OrderCurrency,
    ) -> Option<Currency> {
        let place = ("lines", at, "currency");
        let own = match self.currency.as_deref() {
            Some(text) => Some(fields.value(place, text.parse::<Currency>())?),
            None => None,
        };
        match (own, *of_order) {
            (_, OrderCurrency::Invalid) => None,
            (None, OrderCurrency::Known(currency)) => Some(currency),
            (None, OrderCurrency::Unnamed) => {
                fields.refuse(place, MoneyError::UnknownCurrency);
                None
            }
            (Some(own), OrderCurrency::Unnamed) => {
                *of_order = OrderCurrency::Known(own);
                Some(own)
            }
            (Some(own), OrderCurrency::Known(other)) if own == other => Some(own),
            (Some(own), OrderCurrency::Known(other)) => {
                fields.refuse(place, MoneyError::Mixed { left: other, right: own });
                None
            }
        }
    }
}

/// Checks the date of an order that was placed before `now`.
fn dated(at: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, InvalidValue> {
    let earliest = Utc.with_ymd_and_hms(EARLIEST_YEAR, 1, 1, 0, 0, 0).single();
    if at > now {
        Err(InvalidValue::FutureOrder)
    } else if earliest.is_some_and(|earliest| at < earliest) {
        Err(InvalidValue::OrderTooEarly)
    } else {
        Ok(at)
    }
}

/// Imports an order. It is pending, so it is confirmed like any other.
pub struct ImportOrder {
    /// The new id of the order.
    pub order_id: NewId,
    /// The user who ordered.
    pub user_id: Uuid,
    /// The original time of the order.
    pub ordered_at: DateTime<Utc>,
    /// The lines of the order, one per product.
    pub lines: Vec<ImportedLine>,
}

/// A line with its original price.
#[derive(Debug, Clone, Copy)]
pub struct ImportedLine {
    /// The new id of the line.
    pub line_id: Uuid,
    /// The product's id.
    pub product_id: Uuid,
    /// The number of units, from 1.
    pub quantity: Quantity,
    /// The price of one unit.
    pub unit_price: Money,
}

impl UseCase for ImportOrder {
    const NAME: &'static str = "import_order";
    const PERMISSION: Permission = Permission::ImportWrite;
    const CREATES: bool = true;

    fn owner(&self) -> Option<Owner> {
        Some(Owner::Nobody)
    }

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let products = self.lines.iter().map(|line| line.product_id);
        let parties = Parties::load(work, Orderer::Named(self.user_id), products).await?;
        let lines = self.lines.iter().enumerate().map(|(index, line)| {
            let offer = parties.offer(index, line.product_id)?.at(line.unit_price);
            Ok(OrderLine::of(line.line_id, &offer, line.quantity))
        });
        let lines = lines.collect::<Result<_, CommandError>>()?;
        let content = Content { lines, shipping_address: None };
        place(work, self.order_id, &parties, content, Some(self.ordered_at)).await
    }
}
