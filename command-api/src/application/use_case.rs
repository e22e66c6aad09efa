//! What the shop can be asked: a file per verb, each saying what it is asked with, what to load,
//! what to decide and what must hold for the append.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use domain::aggregate::Aggregate;
use domain::order::{Order, OrderError};
use domain::product::{Offer, Product, ProductError};
use domain::user::{Customer, User, UserError};
use domain::value::Email;
use event_store::{Epoch, InvalidName, Metadata, ReservationChange, ReservationKey};
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
    /// A user refuses.
    #[error(transparent)]
    User(#[from] UserError),
    /// A product refuses.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// An order refuses.
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// One thing that the shop can be asked.
pub trait UseCase: Send + Sync + 'static {
    /// Its name in metrics and the scope of its idempotency keys: permanent.
    const NAME: &'static str;
    /// Whether carrying it out leaves something behind even when it then turns out to be a repeat:
    /// a key for a new person's data.
    const LEAVES_TRACES: bool = false;
    /// Whether the aggregate that it changes does not exist before.
    const CREATES: bool = false;

    /// Loads what it needs and decides. Called anew when the race was lost.
    fn decide(
        &self,
        work: &Work<'_>,
    ) -> impl Future<Output = Result<Decision, CommandError>> + Send;
}

/// What a use case decided.
#[derive(Debug)]
pub struct Decision {
    /// What is to be appended.
    pub changes: Changes,
    /// The order line that it adds.
    pub line_id: Option<Uuid>,
}

impl From<Changes> for Decision {
    fn from(changes: Changes) -> Self {
        Self { changes, line_id: None }
    }
}

/// What a use case works with.
pub struct Work<'a> {
    /// Where the aggregates are.
    pub repository: &'a Repository,
    /// The history in which everything is loaded and appended.
    pub epoch: Epoch,
    /// What the caller requires of the changed aggregate's version.
    pub precondition: &'a Precondition,
    /// What every event is marked with.
    pub metadata: Metadata,
    /// The time.
    pub now: DateTime<Utc>,
    /// The turn on the changed aggregate.
    pub(crate) turn: TurnSlot,
}

/// Where the turn of a command on its aggregate is kept while it is decided.
pub(crate) enum TurnSlot {
    /// It takes none, and is decided on what the store says.
    Unneeded,
    /// It takes one when it loads the aggregate.
    For(Mutex<Option<Turn>>),
}

impl TurnSlot {
    /// The turn, if one was taken.
    pub(crate) fn into_turn(self) -> Option<Turn> {
        match self {
            Self::Unneeded => None,
            Self::For(turn) => turn.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Whether a turn is to be taken: the first one only, since two who wait for each other's would
    /// wait for ever.
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

/// Who orders, and how the caller names that user.
#[derive(Debug, Clone, Copy)]
pub enum Orderer {
    /// As the thing that the command is addressed to.
    Addressed(Uuid),
    /// In the field `user_id` of the input.
    Named(Uuid),
}

impl Work<'_> {
    /// The aggregate that the command changes, as the caller has seen it.
    ///
    /// # Errors
    /// `unknown` when nothing has happened to it, [`CommandError::StaleVersion`] or
    /// [`CommandError::UnwantedVersion`] when the caller's precondition does not hold.
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
    /// As [`Work::target`].
    pub async fn user(&self, id: Uuid) -> Result<Loaded<User>, CommandError> {
        self.target(id, UserError::Unknown).await
    }

    /// The product that the command changes.
    ///
    /// # Errors
    /// As [`Work::target`].
    pub async fn product(&self, id: Uuid) -> Result<Loaded<Product>, CommandError> {
        self.target(id, ProductError::Unknown).await
    }

    /// The order that the command changes.
    ///
    /// # Errors
    /// As [`Work::target`].
    pub async fn order(&self, id: Uuid) -> Result<Loaded<Order>, CommandError> {
        self.target(id, OrderError::Unknown).await
    }

    /// Who orders.
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

    /// What a product is offered as. Its price may change between this and the append: the order
    /// was then placed just before.
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

    /// Turns what was decided into changes.
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

/// Makes reservations on e-mail addresses: one user per address, letters of any case being one
/// address.
///
/// An address is taken at registration, moved when it is changed, and given back at deactivation,
/// so that its owner may register anew.
#[derive(Clone)]
pub struct EmailReservations(Arc<ReservationKey>);

impl EmailReservations {
    /// What the reservations are about.
    const SCOPE: &'static str = "user.email";

    /// Reservations under a key.
    pub fn new(key: Arc<ReservationKey>) -> Self {
        Self(key)
    }

    /// The user takes the address.
    ///
    /// # Errors
    /// Never, for a user's id.
    pub fn take(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.0.hash(Self::SCOPE, &email.normalised());
        Ok(ReservationChange::Take { reservation, owner: stream_of::<User>(user_id)? })
    }

    /// The user gives the address back.
    ///
    /// # Errors
    /// Never, for a user's id.
    pub fn release(&self, user_id: Uuid, email: &Email) -> Result<ReservationChange, InvalidName> {
        let reservation = self.0.hash(Self::SCOPE, &email.normalised());
        Ok(ReservationChange::Release { reservation, owner: stream_of::<User>(user_id)? })
    }
}
