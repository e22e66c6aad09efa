//! Sets the shipping address of a pending order.

use access::Permission;
use domain::order::OrderCommand;
use domain::user::NewAddress;
use uuid::Uuid;

use super::{AddressInput, Decision, UseCase, Work};
use crate::application::error::CommandError;
use crate::application::input::{Environment, Input};

/// The shipping address of an order, as the caller writes it.
#[derive(Clone)]
pub struct SetShippingAddressInput {
    /// The order's id.
    pub order_id: Uuid,
    /// The whole address. It has no label.
    pub address: AddressInput,
}

/// Sets or replaces the shipping address of an order.
pub struct SetShippingAddress {
    /// The order's id.
    pub order_id: Uuid,
    /// The valid address, with its destination.
    pub address: NewAddress,
}

impl Input for SetShippingAddressInput {
    type UseCase = SetShippingAddress;

    fn read(self, _: &Environment) -> Result<SetShippingAddress, CommandError> {
        Ok(SetShippingAddress { order_id: self.order_id, address: self.address.read()? })
    }
}

impl UseCase for SetShippingAddress {
    const NAME: &'static str = "set_shipping_address";
    const PERMISSION: Permission = Permission::OrdersWrite;

    async fn decide(&self, work: &Work<'_>) -> Result<Decision, CommandError> {
        let order = work.order(self.order_id).await?;
        let events = order.decide([command(&self.address)])?;
        Ok(work.changes(&order, &events)?.into())
    }
}

/// The command that sets this address.
pub(super) fn command(address: &NewAddress) -> OrderCommand {
    let NewAddress { postal, destination, .. } = address.clone();
    OrderCommand::SetShippingAddress { postal, destination }
}
