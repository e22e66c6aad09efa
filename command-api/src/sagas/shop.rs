//! What the sagas do in the shop itself: they read aggregates, and decide use cases whose events
//! the saga engine appends.

use std::sync::Arc;

use access::{Caller, InvalidName, Policy, Principal};
use domain::Order;
use domain::aggregate::DomainEvent as _;
use domain::order::event::OrderEvent;
use domain::value::PostalAddress;
use event_store::stream::Version;
use event_store::{Append, RecordedEvent, UpcastingLog};
use saga::{Call, Work};
use uuid::Uuid;

use super::PRINCIPAL;
use crate::application::access::Permit;
use crate::application::repository::{Loaded, RepositoryError, stream_of};
use crate::application::use_case::UseCase;
use crate::application::{CommandError, Commands, Context};

/// The event with the address of an order.
const SET: &str = "order.shipping_address_set";
/// The number of events of an order in one read. An order has far fewer.
const PAGE: u32 = 200;

/// The shop, as sagas see it.
#[derive(Clone)]
pub struct Shop {
    commands: Arc<Commands>,
    log: UpcastingLog,
    policy: Arc<Policy>,
    caller: Caller,
}

impl Shop {
    /// The shop of these commands. `log` has readable personal data.
    ///
    /// # Errors
    /// Never: the name of the principal is valid.
    pub fn new(commands: Arc<Commands>, log: UpcastingLog) -> Result<Self, InvalidName> {
        let caller = Caller::system(Principal::system(PRINCIPAL)?);
        Ok(Self { commands, log, policy: Arc::new(Policy::default()), caller })
    }

    /// Loads an order.
    ///
    /// # Errors
    /// The log did not answer, or cannot be read.
    pub async fn order(&self, id: Uuid) -> Result<Loaded<Order>, RepositoryError> {
        let repository = self.commands.repository();
        repository.load::<Order>(repository.epoch().await?, id).await
    }

    /// Decides a use case. Its events are appended together with the outcome of the saga's step.
    ///
    /// # Errors
    /// [`CommandError`]: it was refused, or could not be decided.
    pub async fn decide<U: UseCase>(
        &self,
        use_case: &U,
        call: &Call,
    ) -> Result<Work, CommandError> {
        let permit = Permit::of::<U>(&self.policy, &self.caller)?;
        let origin = &call.metadata;
        let mut context = Context::new(self.caller.clone()).in_flow(origin.correlation_id);
        if let Some(cause) = origin.causation_id {
            context = context.caused_by(cause);
        }
        context.traceparent.clone_from(&origin.traceparent);
        let append = self.commands.decided(use_case, permit, &context).await?;
        let Append { streams, conditions, reservations, subjects, epoch, .. } = append;
        Ok(Work { streams, conditions, reservations, subjects, epoch })
    }

    /// Reads the shipping address of an order. `None` if it has none, or if it is erased.
    ///
    /// # Errors
    /// The log or the keys of personal data did not answer.
    pub async fn postal_address(
        &self,
        order_id: Uuid,
    ) -> Result<Option<PostalAddress>, RepositoryError> {
        let stream = stream_of::<Order>(order_id)?;
        let (mut after, mut found) = (Version::NONE, None);
        loop {
            let page = self.log.read_stream(&stream, after, PAGE).await?;
            for event in page.events.iter().filter(|event| event.event_type.as_str() == SET) {
                if let Some(OrderEvent::ShippingAddressSet(set)) = read(event)? {
                    found = set.postal.into_value();
                }
            }
            match page.last {
                Some((last, _)) if !page.is_last => after = last,
                _ => return Ok(found),
            }
        }
    }
}

fn read(event: &RecordedEvent) -> Result<Option<OrderEvent>, RepositoryError> {
    let (name, version) = (event.event_type.as_str(), event.schema_version);
    let read = OrderEvent::from_parts(name, version, event.data.get()).transpose();
    read.map_err(|source| RepositoryError::Unreadable { position: event.position, source })
}
