//! Settles the orders of a person before the person's data is erased. A person with an open order
//! is not erased, unless the erasure cancels the order. The last administrator is not erased.
//!
//! It asks the log, not a read model. At its end the log refuses every further order of the person,
//! so none can slip in between the check and the erasure.

use std::sync::{Arc, OnceLock};

use access::{Caller, InvalidName, Policy, Principal};
use domain::aggregate::Aggregate as _;
use domain::order::{CancelReason, Order, OrderCommand, OrderError};
use domain::user::User;
use domain::user_orders::{UserOrders, UserOrdersError};
use uuid::Uuid;

use super::access::Permit;
use super::command::Commands;
use super::context::Context;
use super::error::CommandError;
use super::repository::{
    LeaveError, RepositoryError, USER_DEACTIVATED, USER_REACTIVATED, stream_of,
};
use super::use_case::{AggregateError, CancelOrder, EndOrders, UseCase};

/// The name under which orders are cancelled and ended, as the actor of the events.
const NAME: &str = "erasure";
/// Why the orders are cancelled.
const REASON: CancelReason = CancelReason::UserErased;
/// The maximum number of attempts to end the orders. Orders that are placed meanwhile take one.
const MAX_ROUNDS: usize = 4;
/// The maximum number of events of a user in one read.
const PAGE: u32 = 200;

/// What happens to an open order of a person who is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenOrders {
    /// The erasure is refused.
    Refuse,
    /// The order is cancelled, if it is not shipped.
    Cancel,
}

/// Why the orders of a person are not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// An order is open.
    #[error("the person has an open order: {0}")]
    Open(UserOrdersError),
    /// An order is to be cancelled, but cannot be.
    #[error("order {order_id} is open and cannot be cancelled: {reason}")]
    NotCancellable {
        /// The order's id.
        order_id: Uuid,
        /// Why the order refuses.
        reason: OrderError,
    },
    /// The person may not leave.
    #[error("the person may not leave: {0}")]
    Leave(LeaveError),
    /// A command failed.
    #[error(transparent)]
    Failed(#[from] CommandError),
}

impl SettleError {
    /// Whether another attempt fails, too, until somebody acts.
    pub const fn is_refusal(&self) -> bool {
        match self {
            Self::Open(_)
            | Self::NotCancellable { .. }
            | Self::Leave(LeaveError::LastAdministrator { .. }) => true,
            Self::Leave(LeaveError::CredentialsAway) | Self::Failed(_) => false,
        }
    }
}

/// Settles the orders of persons. Clones share the commands.
#[derive(Clone)]
pub struct Settlement {
    commands: Arc<OnceLock<Arc<Commands>>>,
    policy: Arc<Policy>,
    caller: Caller,
}

impl Settlement {
    /// Settles by these commands, as a part of the system.
    ///
    /// # Errors
    /// Never: the name of that part is valid.
    pub fn new(
        commands: Arc<OnceLock<Arc<Commands>>>,
        policy: Arc<Policy>,
    ) -> Result<Self, InvalidName> {
        let caller = Caller::system(Principal::system(NAME)?);
        Ok(Self { commands, policy, caller })
    }

    /// Checks whether the person may leave and the orders could be settled now. It changes nothing.
    ///
    /// # Errors
    /// [`SettleError`].
    pub async fn check(&self, user_id: Uuid, open: OpenOrders) -> Result<(), SettleError> {
        match self.commands()?.repository().let_leave(&[user_id]).await {
            Err(RepositoryError::Leave(error)) => return Err(SettleError::Leave(error)),
            leave => drop(leave.map_err(CommandError::from)?),
        }
        for order_id in self.open_orders(user_id, open).await? {
            self.check_cancellable(order_id).await?;
        }
        Ok(())
    }

    /// Cancels the open orders if that is wanted, and ends the orders of the person for good. Every
    /// step can be repeated. No order is cancelled if one cannot be.
    ///
    /// # Errors
    /// [`SettleError`]. Some orders may be cancelled by then.
    pub async fn settle(&self, user_id: Uuid, open: OpenOrders) -> Result<(), SettleError> {
        let mut rounds = 0;
        loop {
            self.check(user_id, open).await?;
            for order_id in self.open_orders(user_id, open).await? {
                match self.run(CancelOrder { order_id, reason: Some(REASON) }).await {
                    Err(CommandError::Refused(AggregateError::Order(reason))) => {
                        return Err(SettleError::NotCancellable { order_id, reason });
                    }
                    cancelled => cancelled?,
                }
            }
            rounds += 1;
            match self.run(EndOrders { user_id }).await {
                Err(CommandError::Refused(AggregateError::UserOrders(_)))
                    if open == OpenOrders::Cancel && rounds < MAX_ROUNDS => {}
                Err(CommandError::Refused(AggregateError::UserOrders(error))) => {
                    return Err(SettleError::Open(error));
                }
                ended => return Ok(ended?),
            }
        }
    }

    /// Whether the user is registered and not deactivated. It reads the types of the events alone,
    /// so it needs no keys.
    ///
    /// # Errors
    /// The log cannot be asked.
    pub async fn is_active(&self, user_id: Uuid) -> Result<bool, CommandError> {
        let store = self.commands()?.repository().store();
        let stream = stream_of::<User>(user_id)?;
        let mut before = None;
        loop {
            let page = store.read_stream_backward(&stream, before, PAGE).await?;
            let Some(oldest) = page.last() else { return Ok(before.is_some()) };
            for event in &page {
                match event.event_type.as_str() {
                    USER_DEACTIVATED => return Ok(false),
                    USER_REACTIVATED => return Ok(true),
                    _ => {}
                }
            }
            before = Some(oldest.version);
        }
    }

    /// The orders to cancel.
    async fn open_orders(&self, user_id: Uuid, open: OpenOrders) -> Result<Vec<Uuid>, SettleError> {
        let repository = self.commands()?.repository();
        let epoch = repository.epoch().await.map_err(CommandError::from)?;
        let orders = repository.load::<UserOrders>(epoch, user_id).await;
        let orders = orders.map_err(CommandError::from)?.state;
        match (orders.open().first(), open) {
            (Some(first), OpenOrders::Refuse) => {
                let count = orders.open().len();
                Err(SettleError::Open(UserOrdersError::Open { first: *first, count }))
            }
            _ => Ok(orders.open().to_vec()),
        }
    }

    async fn check_cancellable(&self, order_id: Uuid) -> Result<(), SettleError> {
        let repository = self.commands()?.repository();
        let epoch = repository.epoch().await.map_err(CommandError::from)?;
        let order = repository.load::<Order>(epoch, order_id).await.map_err(CommandError::from)?;
        let cancelled = order.state.decide(OrderCommand::Cancel(REASON.into())).map(drop);
        cancelled.map_err(|reason| SettleError::NotCancellable { order_id, reason })
    }

    async fn run<U: UseCase>(&self, use_case: U) -> Result<(), CommandError> {
        let permit = Permit::of::<U>(&self.policy, &self.caller)?;
        let context = Context::new(self.caller.clone());
        self.commands()?.run(use_case, permit, context).await.map(drop)
    }

    fn commands(&self) -> Result<&Arc<Commands>, CommandError> {
        self.commands.get().ok_or(CommandError::NotReady)
    }
}
