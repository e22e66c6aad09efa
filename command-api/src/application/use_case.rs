//! The use cases. Each has its input, what to load, what to decide and what must hold for the
//! append. A file holds one verb, or a few short ones of the same aggregate.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use access::{Owner, Permission};
use chrono::{DateTime, Utc};
use domain::aggregate::Aggregate;
use domain::order::{Order, OrderError};
use domain::product::{Offer, Product, ProductError};
use domain::user::{Customer, User, UserError};
use domain::user_orders::{UserOrders, UserOrdersError};
use event_store::{Epoch, Metadata};
use futures::future::try_join_all;
use uuid::Uuid;

use super::access::{Owned, Ownership};
use super::batch::Batch;
use super::error::CommandError;
use super::idempotency::Part;
use super::input::{FieldPath, InvalidValue, NewId};
use super::precondition::{Precondition, Unmet};
use super::repository::{Changes, Loaded, Repository, RepositoryError, Turn};

pub mod add_order_line;
pub mod add_product;
pub mod adjust_stock;
pub mod cancel_order;
pub mod change_product;
pub mod change_user;
pub mod classify_product;
pub mod classify_user;
pub mod confirm_order;
pub mod deactivate_user;
mod email;
pub mod end_orders;
pub mod fulfil_order;
pub mod import_order;
pub mod move_stock;
mod open_orders;
pub mod place_order;
pub mod pricing;
pub mod reactivate_user;
pub mod receive_stock;
pub mod record_order;
pub mod register_user;
pub mod remove_order_line;
pub mod report_payment;
pub mod request_payment;
pub mod shipping_address;
mod stock;
mod turns;
pub mod user_address;

pub use add_order_line::{AddOrderLine, AddOrderLineInput};
pub use add_product::{AddProduct, AddProductInput};
pub use adjust_stock::AdjustStock;
pub use cancel_order::CancelOrder;
pub use change_product::{ChangeProduct, ChangeProductInput, NewPrice};
pub use change_user::{ChangeUser, ChangeUserInput, PreferencesInput, ProfileInput};
pub use classify_product::{ClassifyProduct, ClassifyProductInput};
pub use classify_user::{ClassifyUser, ClassifyUserInput};
pub use confirm_order::ConfirmOrder;
pub use deactivate_user::{DeactivateUser, DeactivateUserInput};
pub use email::EmailReservations;
pub use end_orders::EndOrders;
pub use fulfil_order::{EndUnfulfilled, ReserveStock};
pub use import_order::{ImportOrder, ImportOrderInput, ImportedLine, ImportedLineInput};
pub use move_stock::{MoveStock, MoveStockInput};
pub use place_order::{LineInput, LineRequest, PlaceOrder, PlaceOrderInput};
pub use pricing::{
    DiscountInput, SetDiscounts, SetDiscountsInput, SetTaxes, SetTaxesInput, TaxRateInput,
    TaxedCountryInput,
};
pub use reactivate_user::{ReactivateUser, ReactivateUserInput};
pub use receive_stock::{ReceiveStock, ReceiveStockInput};
pub use record_order::{
    Delivery, Note, Payment, RecordInput, RecordOrder, RecordOrderInput, RefundOrderInput, Shipment,
};
pub use register_user::{RegisterUser, RegisterUserInput};
pub use remove_order_line::RemoveOrderLine;
pub use report_payment::ReportPayment;
pub use request_payment::RequestPayment;
pub use shipping_address::{SetShippingAddress, SetShippingAddressInput};
pub(crate) use turns::Turns;
pub use user_address::{
    AddAddress, AddAddressInput, AddressInput, ChangeAddress, ChangeAddressInput, RemoveAddress,
};

/// Why an aggregate refuses a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// A user refuses the command.
    #[error(transparent)]
    User(#[from] UserError),
    /// A product refuses the command.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// An order refuses the command.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// The orders of a user refuse the command.
    #[error(transparent)]
    UserOrders(#[from] UserOrdersError),
}

/// A command that the shop accepts.
pub trait UseCase: Send + Sync + 'static {
    /// The permanent name of the use case, in metrics and as the scope of its idempotency keys.
    const NAME: &'static str;
    /// The permission that the command takes.
    const PERMISSION: Permission;
    /// Whether an attempt leaves something behind even if it turns out to be a repeat: a key for a
    /// new person's data.
    const LEAVES_TRACES: bool = false;
    /// Whether the command creates the aggregate that it changes.
    const CREATES: bool = false;

    /// Whose resource the command is about, if that is known before anything is loaded. With `None`
    /// the aggregate that [`Work::target`] loads says it.
    fn owner(&self) -> Option<Owner> {
        None
    }

    /// The refusal if the resource does not belong to the caller: the same as if it were absent.
    fn hidden(&self) -> CommandError {
        CommandError::Hidden
    }

    /// Loads what is needed and decides. It is called again after a lost race.
    fn decide(
        &self,
        work: &Work<'_>,
    ) -> impl Future<Output = Result<Decision, CommandError>> + Send;
}

/// The decision of a use case.
#[derive(Debug)]
pub struct Decision {
    /// The changes to append.
    pub changes: Changes,
    /// The part of the aggregate that is added.
    pub part: Option<Part>,
}

impl From<Changes> for Decision {
    fn from(changes: Changes) -> Self {
        Self { changes, part: None }
    }
}

/// The tools that a use case decides with.
pub struct Work<'a> {
    /// The repository of the aggregates.
    pub repository: &'a Repository,
    /// The epoch in which everything is loaded and appended.
    pub epoch: Epoch,
    /// The caller's requirements for the version of the changed aggregate.
    pub precondition: &'a Precondition,
    /// The metadata for every event.
    pub metadata: Metadata,
    /// The current time.
    pub now: DateTime<Utc>,
    /// The user who acts, if it is a person.
    pub acting_user: Option<Uuid>,
    /// The turns on the changed aggregates.
    pub(crate) turns: Turns,
    /// What the caller may change.
    pub(crate) ownership: Ownership,
    /// The batch that the command belongs to.
    pub(crate) batch: Option<Arc<Batch>>,
}

/// The user who orders, and how the caller names that user.
#[derive(Debug, Clone, Copy)]
pub enum Orderer {
    /// The user in the path: the command is addressed to it.
    Addressed(Uuid),
    /// The user in the field `user_id` of the input.
    Named(Uuid),
}

impl Orderer {
    /// The user's id.
    const fn user_id(self) -> Uuid {
        let (Self::Addressed(id) | Self::Named(id)) = self;
        id
    }

    /// The refusal if there is no such user.
    fn unknown(self) -> CommandError {
        match self {
            Self::Addressed(_) => UserError::Unknown.into(),
            Self::Named(_) => CommandError::invalid("user_id", InvalidValue::UnknownUser),
        }
    }
}

impl Work<'_> {
    /// The aggregate that the command changes, checked against the caller's permit and
    /// precondition.
    ///
    /// # Errors
    /// `unknown` if the aggregate has no events, or is not the caller's.
    /// [`CommandError::StaleVersion`] or [`CommandError::UnwantedVersion`] if the caller's
    /// precondition does not hold.
    pub async fn target<A: Owned>(
        &self,
        id: Uuid,
        unknown: impl Into<CommandError>,
    ) -> Result<Loaded<A>, CommandError> {
        let loaded = self.load::<A>(id, self.turns.wants_target()).await?;
        if loaded.version.0 == 0 || !self.ownership.covers(&loaded.state, id) {
            Err(unknown.into())
        } else {
            self.checked(loaded)
        }
    }

    /// Products that the command changes together with its target, sorted by id. Call it once, and
    /// after the target is loaded.
    ///
    /// # Errors
    /// A product could not be loaded. A product without events is not an error.
    pub async fn products(
        &self,
        ids: impl IntoIterator<Item = Uuid> + Send,
    ) -> Result<Vec<Loaded<Product>>, CommandError> {
        let ids = BTreeSet::from_iter(ids);
        if !self.turns.begin_products() {
            return try_join_all(ids.into_iter().map(|id| self.load::<Product>(id, false))).await;
        }
        let mut turns = Vec::with_capacity(ids.len());
        for id in ids {
            // One after another: that keeps the fixed sequence.
            turns.push((id, self.repository.turn::<Product>(id).await?));
        }
        // They are read at once.
        let loads = turns.into_iter().map(async |(id, mut turn)| {
            let loaded = self.repository.load_with_turn(&mut turn, self.epoch, id).await?;
            Ok::<_, CommandError>((turn, loaded))
        });
        let products = try_join_all(loads).await?.into_iter();
        Ok(products.map(|(turn, product)| self.kept(turn, product)).collect())
    }

    /// The open orders of a user.
    ///
    /// # Errors
    /// They could not be loaded. A user without orders is not an error.
    pub async fn user_orders(&self, user_id: Uuid) -> Result<Loaded<UserOrders>, CommandError> {
        self.load(user_id, false).await
    }

    async fn load<A: Aggregate>(&self, id: Uuid, in_turn: bool) -> Result<Loaded<A>, CommandError> {
        if let Some(batch) = &self.batch {
            return Ok(batch.load::<A>(self.repository, self.epoch, id).await?);
        }
        if !in_turn {
            return Ok(self.repository.load::<A>(self.epoch, id).await?);
        }
        let mut turn = self.repository.turn::<A>(id).await?;
        let loaded = self.repository.load_with_turn(&mut turn, self.epoch, id).await?;
        Ok(self.kept(turn, loaded))
    }

    /// Keeps the turn for the append.
    fn kept<A>(&self, turn: Turn, loaded: Loaded<A>) -> Loaded<A> {
        self.turns.keep(turn);
        loaded
    }

    /// Checks the caller's precondition against the target.
    ///
    /// # Errors
    /// [`CommandError::StaleVersion`] or [`CommandError::UnwantedVersion`] if it does not hold.
    pub fn checked<A>(&self, target: Loaded<A>) -> Result<Loaded<A>, CommandError> {
        let actual = target.version.0;
        self.precondition.check(actual).map(|()| target).map_err(|unmet| match unmet {
            Unmet::OtherVersion => CommandError::StaleVersion { actual },
            Unmet::NotWanted => CommandError::UnwantedVersion { actual },
        })
    }

    /// The aggregate that the command creates. If the caller gave its id, it may exist already; its
    /// state then refuses the creation.
    ///
    /// # Errors
    /// The aggregate cannot be loaded.
    pub async fn created<A: Aggregate>(&self, id: NewId) -> Result<Loaded<A>, CommandError> {
        match id {
            NewId::Made(id) => match &self.batch {
                Some(batch) => Ok(batch.absent(id)?),
                None => Ok(Loaded::absent(id)),
            },
            NewId::Given(id) => self.load(id, false).await,
        }
    }

    /// The user that the command changes.
    ///
    /// # Errors
    /// The same errors as [`Work::target`].
    pub async fn user(&self, id: Uuid) -> Result<Loaded<User>, CommandError> {
        self.target(id, UserError::Unknown).await
    }

    /// The product that the command changes.
    ///
    /// # Errors
    /// The same errors as [`Work::target`].
    pub async fn product(&self, id: Uuid) -> Result<Loaded<Product>, CommandError> {
        self.target(id, ProductError::Unknown).await
    }

    /// The order that the command changes.
    ///
    /// # Errors
    /// The same errors as [`Work::target`].
    pub async fn order(&self, id: Uuid) -> Result<Loaded<Order>, CommandError> {
        self.target(id, OrderError::Unknown).await
    }

    /// The user who orders, and the proof that this user may order.
    ///
    /// # Errors
    /// The user is unknown or deactivated.
    pub async fn customer(
        &self,
        orderer: Orderer,
    ) -> Result<(Loaded<User>, Customer), CommandError> {
        let user = self.load::<User>(orderer.user_id(), false).await?;
        match user.state.customer() {
            Ok(customer) => Ok((user, customer)),
            Err(UserError::Unknown) => Err(orderer.unknown()),
            Err(error) => Err(error.into()),
        }
    }

    /// The current offer of a product. If its price changes before the append, the order counts as
    /// placed just before.
    ///
    /// # Errors
    /// [`InvalidValue::UnknownProduct`] in the field `at`, which names the product.
    pub async fn offer(
        &self,
        id: Uuid,
        at: impl Into<FieldPath> + Send,
    ) -> Result<Offer, CommandError> {
        offer(&self.load::<Product>(id, false).await?, at)
    }

    /// Products that the command only reads, by id.
    ///
    /// # Errors
    /// A product could not be loaded. A product without events is not an error.
    pub async fn catalogue(
        &self,
        ids: impl IntoIterator<Item = Uuid> + Send,
    ) -> Result<HashMap<Uuid, Loaded<Product>>, CommandError> {
        let ids = BTreeSet::from_iter(ids);
        let loaded = try_join_all(ids.into_iter().map(|id| self.load::<Product>(id, false)));
        Ok(loaded.await?.into_iter().map(|product| (product.id, product)).collect())
    }

    /// Converts a decision to changes.
    ///
    /// # Errors
    /// The events cannot be written.
    pub fn changes<A: Aggregate>(
        &self,
        loaded: &Loaded<A>,
        events: &[A::Event],
    ) -> Result<Changes, RepositoryError> {
        Changes::to(loaded, events, &self.metadata)
    }
}

/// The current offer of a product.
///
/// # Errors
/// [`InvalidValue::UnknownProduct`] in the field `at`, which names the product.
pub fn offer(product: &Loaded<Product>, at: impl Into<FieldPath>) -> Result<Offer, CommandError> {
    product.state.offer().map_err(|error| match error {
        ProductError::Unknown => CommandError::invalid(at, InvalidValue::UnknownProduct),
        error => error.into(),
    })
}
