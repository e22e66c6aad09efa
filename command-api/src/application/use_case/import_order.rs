//! An order that was placed elsewhere is taken over, with its own prices and its own date.

use chrono::{DateTime, Utc};
use domain::order::OrderLine;
use domain::value::{Money, Quantity};
use uuid::Uuid;

use super::place_order::{Offers, place};
use super::{Decision, Orderer, UseCase, Work};
use crate::http::error::CommandError;

/// Takes over an order; pending, so that it is confirmed as any other.
pub struct ImportOrder {
    /// The id made for the order.
    pub order_id: Uuid,
    /// Who ordered.
    pub user_id: Uuid,
    /// When.
    pub ordered_at: DateTime<Utc>,
    /// What.
    pub lines: Vec<ImportedLine>,
}

/// A line with the price of its time.
#[derive(Debug, Clone, Copy)]
pub struct ImportedLine {
    /// The id made for the line.
    pub line_id: Uuid,
    /// What.
    pub product_id: Uuid,
    /// How many.
    pub quantity: Quantity,
    /// What one cost.
    pub unit_price: Money,
}

impl UseCase for ImportOrder {
    const NAME: &'static str = "import_order";

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let user = work.customer(Orderer::InBody(self.user_id)).await?;
        let mut offers = Offers::default();
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, line) in self.lines.iter().enumerate() {
            let offer = offers.of(work, index, line.product_id).await?.clone().at(line.unit_price);
            lines.push(OrderLine::of(line.line_id, &offer, line.quantity));
        }
        place(work, self.order_id, &user, lines, Some(self.ordered_at))
    }
}
