//! What comes with a command besides its content: who acts, what caused it, and what the caller
//! requires.

use access::Principal;
use event_store::Metadata;
use uuid::Uuid;

use super::idempotency::KeyedRequest;
use super::precondition::Precondition;

/// What comes with a command besides its content.
#[derive(Clone)]
pub struct Context {
    /// Who acts: the caller, or a part of the system.
    pub principal: Principal,
    /// The business flow that the command belongs to.
    pub correlation_id: Uuid,
    /// What directly caused the command's events: the command itself, by an id of its own, or the
    /// event that it reacts to.
    pub causation_id: Uuid,
    /// The caller's W3C trace context.
    pub traceparent: Option<String>,
    /// Which versions of the aggregate the caller has seen.
    pub precondition: Precondition,
    /// The key under which a repeat is recognised.
    pub keyed: Option<KeyedRequest>,
}

impl Context {
    /// A command with an id made now, which begins a flow of its own and requires nothing.
    pub fn new(principal: Principal) -> Self {
        let id = Uuid::now_v7();
        Self {
            principal,
            correlation_id: id,
            causation_id: id,
            traceparent: None,
            precondition: Precondition::default(),
            keyed: None,
        }
    }

    /// Puts the command into a flow that somebody else began.
    #[must_use]
    pub fn in_flow(self, correlation_id: Uuid) -> Self {
        Self { correlation_id, ..self }
    }

    /// Names the event that the command reacts to.
    #[must_use]
    pub fn caused_by(self, event_id: Uuid) -> Self {
        Self { causation_id: event_id, ..self }
    }

    /// What every event of the command is marked with.
    pub fn metadata(&self) -> Metadata {
        Metadata {
            correlation_id: self.correlation_id,
            causation_id: Some(self.causation_id),
            actor: Some(self.principal.to_string()),
            traceparent: self.traceparent.clone(),
        }
    }
}
