//! The context of a command: who acts, what caused it, and what the caller requires.

use std::sync::Arc;

use access::{Caller, Principal};
use event_store::Metadata;
use uuid::Uuid;

use super::batch::Batch;
use super::idempotency::KeyedRequest;
use super::precondition::Precondition;

/// The information that comes with a command, apart from its content.
#[derive(Clone)]
pub struct Context {
    /// Who asks for the command: somebody outside, or a part of the system.
    pub caller: Caller,
    /// The id of the business flow that the command belongs to.
    pub correlation_id: Uuid,
    /// The direct cause of the command's events: the id of the command itself, or of the event that
    /// it reacts to.
    pub causation_id: Uuid,
    /// The W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// The versions of the aggregate that the caller requires.
    pub precondition: Precondition,
    /// The idempotency key with its request, to recognise a repeat.
    pub keyed: Option<KeyedRequest>,
    /// The batch that the command belongs to. It is then only decided.
    pub batch: Option<Arc<Batch>>,
}

impl Context {
    /// The context of a command with a new id. It starts a flow and has no requirements.
    pub fn new(caller: Caller) -> Self {
        let id = Uuid::now_v7();
        Self {
            caller,
            correlation_id: id,
            causation_id: id,
            traceparent: None,
            precondition: Precondition::default(),
            keyed: None,
            batch: None,
        }
    }

    /// Makes the command part of an existing flow.
    #[must_use]
    pub fn in_flow(self, correlation_id: Uuid) -> Self {
        Self { correlation_id, ..self }
    }

    /// Names the event that the command reacts to.
    #[must_use]
    pub fn caused_by(self, event_id: Uuid) -> Self {
        Self { causation_id: event_id, ..self }
    }

    /// The user who acts, if it is a person.
    pub const fn acting_user(&self) -> Option<Uuid> {
        match &self.caller.principal {
            Principal::User { id } => Some(*id),
            Principal::Anonymous | Principal::System { .. } => None,
        }
    }

    /// The metadata for every event of the command.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            correlation_id: self.correlation_id,
            causation_id: Some(self.causation_id),
            actor: Some(self.caller.principal.to_string()),
            credential_id: self.caller.credential,
            client_id: self.caller.client.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}
