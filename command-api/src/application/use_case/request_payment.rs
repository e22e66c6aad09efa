//! Notes that the user who ordered asks to pay.

use access::Permission;
use domain::order::OrderCommand;
use uuid::Uuid;

use super::{Decision, UseCase, Work};
use crate::application::error::CommandError;

/// Asks for the payment of a confirmed order. A repeat changes nothing.
pub struct RequestPayment {
    /// The order's id.
    pub order_id: Uuid,
}

impl UseCase for RequestPayment {
    const NAME: &'static str = "request_payment";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([OrderCommand::RequestPayment])?;
        Ok(work.changes(&order, &events)?.into())
    }
}
