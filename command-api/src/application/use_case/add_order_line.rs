//! A pending order gets one more line, at today's price.

use domain::order::{OrderCommand, OrderError, OrderLine};
use uuid::Uuid;

use super::{Decision, LineRequest, UseCase, Work};
use crate::http::error::CommandError;

/// Adds a line to an order.
pub struct AddOrderLine {
    /// Which order.
    pub order_id: Uuid,
    /// The line.
    pub line: LineRequest,
}

impl UseCase for AddOrderLine {
    const NAME: &'static str = "add_order_line";

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let LineRequest { line_id, product_id, quantity } = self.line;
        let order = work.order(self.order_id).await?;
        let offer = work.offer(product_id, || "/product_id".to_owned()).await?;
        let line = OrderLine::of(line_id, &offer, quantity);
        let events =
            order.decide([OrderCommand::AddLine { line }]).map_err(|error| match error {
                OrderError::Total { reason, .. } => {
                    CommandError::LineDoesNotAdd { pointer: "/product_id".to_owned(), reason }
                }
                error => error.into(),
            })?;
        Ok(Decision { changes: work.changes(&order, &events)?, line_id: Some(line_id) })
    }
}
