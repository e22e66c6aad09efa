//! The use cases. Each has its input, what to load, what to decide and what must hold for the
//! append. A file holds one verb, or a few short ones of the same aggregate.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::aggregate::Aggregate;
use domain::order::{Order, OrderError};
use domain::product::{Offer, Product, ProductError};
use domain::user::{Customer, User, UserError};
use domain::value::Email;
use event_store::{Epoch, InvalidName, Metadata, ReservationChange, ReservationKey, ReservedValue};
use uuid::Uuid;

use super::error::CommandError;
use super::input::{FieldPath, InvalidValue};
use super::precondition::{Precondition, Unmet};
use super::repository::{Changes, Loaded, Repository, RepositoryError, Turn, stream_of};

pub mod add_order_line;
pub mod add_product;
pub mod adjust_stock;
pub mod cancel_order;
pub mod change_product;
pub mod change_user;
pub mod confirm_order;
pub mod deactivate_user;
pub mod import_order;
pub mod place_order;
pub mod register_user;
pub mod remove_order_line;

pub use add_order_line::{AddOrderLine, AddOrderLineInput};
pub use add_product::{AddProduct, AddProductInput};
pub use adjust_stock::AdjustStock;
pub use cancel_order::CancelOrder;
pub use change_product::{ChangeProduct, ChangeProductInput, NewPrice};
pub use change_user::{ChangeUser, ChangeUserInput};
pub use confirm_order::ConfirmOrder;
pub use deactivate_user::{DeactivateUser, DeactivateUserInput};
pub use import_order::{ImportOrder, ImportOrderInput, ImportedLine, ImportedLineInput};
pub use place_order::{LineInput, LineRequest, PlaceOrder, PlaceOrderInput};
pub use register_user::{RegisterUser, RegisterUserInput};
pub use remove_order_line::RemoveOrderLine;

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
}

/// A command that the shop accepts.
pub trait UseCase: Send + Sync + 'static {
    /// The permanent name of the use case, in metrics and as the scope of its idempotency keys.
    const NAME: &'static str;
    /// Whether an attempt leaves something behind even if it turns out to be a repeat: a key for a
    /// new person's data.
    const LEAVES_TRACES: bool = false;
    /// Whether the command creates the aggregate that it changes.
    const CREATES: bool = false;

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
    /// The id of the order line that is added.
    pub line_id: Option<Uuid>,
}

impl From<Changes> for Decision {
    fn from(changes: Changes) -> Self {
        Self { changes, line_id: None }
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
    /// The turn on the changed aggregate.
    pub(crate) turn: TurnSlot,
}

/// Holds the turn of a command on its aggregate while the command is decided.
pub(crate) enum TurnSlot {
    /// The command takes no turn and is decided on the state in the store.
    Unneeded,
    /// The command takes a turn when it loads the aggregate.
    For(Mutex<Option<Turn>>),
}

impl TurnSlot {
    /// The turn, if the command took one.
    pub(crate) fn into_turn(self) -> Option<Turn> {
        match self {
            Self::Unneeded => None,
            Self::For(turn) => turn.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Whether the command still has to take a turn. It takes only one, because two commands that
    /// wait for each other's turns would wait for ever.
    fn wants_one(&self) -> bool {
        match self {
            Self::Unneeded => false,
            Self::For(turn) => turn.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
        }
    }

    fn keep(&self, taken: Turn) {
        if let Self::For(turn) = self {
            *turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        }
    }
}

/// The user who orders, and how the caller names that user.
#[derive(Debug, Clone, Copy)]
pub enum Orderer {
    /// The user in the path: the command is addressed to it.
    Addressed(Uuid),
    /// The user in the field `user_id` of the input.
    Named(Uuid),
}

impl Work<'_> {
    /// The aggregate that the command changes, checked against the caller's precondition.
    ///
    /// # Errors
    /// `unknown` if the aggregate has no events. [`CommandError::StaleVersion`] or
    /// [`CommandError::UnwantedVersion`] if the caller's precondition does not hold.
    pub async fn target<A: Aggregate>(
        &self,
        id: Uuid,
        unknown: impl Into<CommandError>,
    ) -> Result<Loaded<A>, CommandError> {
        let loaded = if self.turn.wants_one() {
            let (turn, loaded) = self.repository.load_in_turn::<A>(self.epoch, id).await?;
            self.turn.keep(turn);
            loaded
        } else {
            self.repository.load::<A>(self.epoch, id).await?
        };
        if loaded.version.0 == 0 {
            Err(unknown.into())
        } else {
            let actual = loaded.version.0;
            self.precondition.check(actual).map(|()| loaded).map_err(|unmet| match unmet {
                Unmet::OtherVersion => CommandError::StaleVersion { actual },
                Unmet::NotWanted => CommandError::UnwantedVersion { actual },
            })
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
        let (Orderer::Addressed(id) | Orderer::Named(id)) = orderer;
        let user = self.repository.load::<User>(self.epoch, id).await?;
        match (user.state.customer(), orderer) {
            (Ok(customer), _) => Ok((user, customer)),
            (Err(UserError::Unknown), Orderer::Named(_)) => {
                Err(CommandError::invalid("user_id", InvalidValue::UnknownUser))
            }
            (Err(error), _) => Err(error.into()),
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
        let product = self.repository.load::<Product>(self.epoch, id).await?;
        product.state.offer().map_err(|error| match error {
            ProductError::Unknown => CommandError::invalid(at, InvalidValue::UnknownProduct),
            error => error.into(),
        })
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

/// Makes reservations of e-mail addresses: one user per address, in any letter case.
///
/// An address is reserved at registration, moved when it changes, and released at deactivation. Its
/// owner can then register again.
#[derive(Clone)]
pub struct EmailReservations(Arc<ReservationKey>);

impl EmailReservations {
    /// The scope of the reservations.
    const SCOPE: &'static str = "user.email";

    /// Reservations that are hashed with this key.
    pub fn new(key: Arc<ReservationKey>) -> Self {
        Self(key)
    }

    /// The address as it is reserved: a keyed hash, the same for any letter case.
    pub fn reserved(&self, email: &Email) -> ReservedValue {
        self.0.hash(Self::SCOPE, &email.normalised())
    }

    /// Reserves the address for the user.
    ///
    /// # Errors
    /// Never for the id of a user.
    pub fn take(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.reserved(email);
        Ok(ReservationChange::Take { reservation, owner: stream_of::<User>(user_id)? })
    }

    /// Releases the user's address.
    ///
    /// # Errors
    /// Never for the id of a user.
    pub fn release(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.reserved(email);
        Ok(ReservationChange::Release { reservation, owner: stream_of::<User>(user_id)? })
    }
}
