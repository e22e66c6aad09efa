//! Adds a line to a pending order, at the current price of the product.

use access::Permission;
use domain::order::{OrderCommand, OrderError, OrderLine};
use uuid::Uuid;

use super::place_order::{LineInput, LineRequest};
use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::idempotency::Part;
use crate::application::input::{Environment, Fields, Input};

/// A line to add to an order, as the caller writes it.
#[derive(Debug, Clone, Copy)]
pub struct AddOrderLineInput {
    /// The order's id.
    pub order_id: Uuid,
    /// The line to add.
    pub line: LineInput,
}

impl Input for AddOrderLineInput {
    type UseCase = AddOrderLine;

    fn read(self, _: &Environment) -> Result<AddOrderLine, CommandError> {
        let mut fields = Fields::default();
        match self.line.read(&mut fields, "quantity") {
            Some(line) => Ok(AddOrderLine { order_id: self.order_id, line }),
            None => Err(fields.invalid().into()),
        }
    }
}

/// Adds a line to an order.
pub struct AddOrderLine {
    /// The order's id.
    pub order_id: Uuid,
    /// The line to add.
    pub line: LineRequest,
}

impl UseCase for AddOrderLine {
    const NAME: &'static str = "add_order_line";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let LineRequest { line_id, product_id, quantity } = self.line;
        let order = work.order(self.order_id).await?;
        let offer = work.offer(product_id, "product_id").await?;
        let line = OrderLine::of(line_id, &offer, quantity);
        let events =
            order.decide([OrderCommand::AddLine { line }]).map_err(|error| match error {
                OrderError::Total { reason, .. } => CommandError::invalid("product_id", reason),
                error => error.into(),
            })?;
        let part = Some(Part::Line(line_id));
        Ok(Decision { changes: work.changes(&order, &events)?, part })
    }
}
