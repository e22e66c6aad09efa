//! One request: the fault that it meets, its key, and what it does.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::fault::{Fault, chance, share};
use crate::form::Form;
use crate::simulation::api::{Sandbox, World};
use crate::simulation::journal::JournalError;
use crate::simulation::state::{About, Change, Entry, Hook, Saved};
use crate::simulation::{payments, shipments};

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Authorise,
    Capture(String),
    Release(String),
    Refund,
    Ship,
    CancelShipment(String),
    Read,
}

/// A request: what it asks for, its idempotency key and its body.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    pub(crate) key: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// What a request leads to.
pub(crate) struct Outcome {
    pub(crate) answer: Saved,
    change: Option<Change>,
    event: Option<(&'static str, Value)>,
    /// Whether repeats under the key get this answer again.
    is_saved: bool,
}

/// How the client gets an answer.
pub(crate) enum Given {
    /// The whole answer.
    Whole(Saved),
    /// The whole answer to an earlier request under the key.
    Again(Saved),
    /// The whole answer, with `Retry-After`.
    Later(Saved),
    /// The first half of the answer, then the connection breaks.
    Cut(Saved),
}

impl Operation {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Authorise => "authorise",
            Self::Capture(_) => "capture",
            Self::Release(_) => "release",
            Self::Refund => "refund",
            Self::Ship => "ship",
            Self::CancelShipment(_) => "cancel_shipment",
            Self::Read => "read",
        }
    }

    /// An error in the format of the API that the operation belongs to.
    fn refusal(&self, status: u16, kind: &str, code: &str, message: &str) -> Saved {
        match self {
            Self::Ship | Self::CancelShipment(_) => shipments::refusal(status, code, message),
            _ => payments::refusal(status, kind, code, message),
        }
    }
}

impl Outcome {
    /// The request took effect. Repeats get this answer.
    pub(crate) const fn done(answer: Saved, change: Change) -> Self {
        Self { answer, change: Some(change), event: None, is_saved: true }
    }

    /// The request took no effect and never will. Repeats get this answer.
    pub(crate) const fn saved(answer: Saved) -> Self {
        Self { answer, change: None, event: None, is_saved: true }
    }

    /// It took no effect, and may take one later under the same key.
    pub(crate) const fn unsaved(answer: Saved) -> Self {
        Self { answer, change: None, event: None, is_saved: false }
    }

    /// An event tells of it.
    pub(crate) fn telling(self, event: (&'static str, Value)) -> Self {
        Self { event: Some(event), ..self }
    }
}

/// Marks a key as in flight, as long as it lives.
struct InFlight<'a>(&'a Sandbox, String);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.world().in_flight.remove(&self.1);
    }
}

impl Sandbox {
    /// Answers a request that changes something.
    pub(crate) async fn ask(&self, asked: Asked) -> Result<Given, JournalError> {
        let refusal = |status, code| {
            let message = "the sandbox misbehaves as it was asked to";
            asked.operation.refusal(status, "api_error", code, message)
        };
        let (fault, wait, hang) = self.begin(&asked)?;
        tokio::time::sleep(wait).await;
        match fault {
            Some(Fault::Error) => return Ok(Given::Whole(refusal(503, "unavailable"))),
            Some(Fault::Limited) => return Ok(Given::Later(refusal(429, "rate_limit"))),
            Some(Fault::Hang) => {
                let key = asked.key.clone().unwrap_or_default();
                self.world().in_flight.insert(key.clone());
                let _in_flight = InFlight(self, key);
                tokio::time::sleep(hang).await;
                return Ok(Given::Whole(refusal(504, "timeout")));
            }
            _ => {}
        }
        let given = self.carry_out(&asked, fault)?;
        Ok(match (fault, given) {
            (Some(Fault::Broken), _) => Given::Whole(refusal(500, "internal")),
            (Some(Fault::Lost), _) => {
                tokio::time::sleep(hang).await;
                Given::Whole(refusal(504, "timeout"))
            }
            (Some(Fault::Cut), Given::Whole(saved) | Given::Again(saved)) => Given::Cut(saved),
            (_, given) => given,
        })
    }

    /// Decides what the request meets: a fault, a time to wait, and how long an answer that never
    /// comes is held back.
    fn begin(&self, asked: &Asked) -> Result<(Option<Fault>, Duration, Duration), JournalError> {
        let mut world = self.world();
        let name = asked.operation.name();
        let mut chance = if let Some(key) = &asked.key {
            let operation = name.to_owned();
            world.append(&Entry::Asked { key: key.clone(), operation })?;
            let attempt = world.state.keys.get(key).map_or(0, |known| known.count.requests);
            chance(self.seed(), key, attempt)
        } else {
            world.without_key += 1;
            chance(self.seed(), "", world.without_key)
        };
        let next = world
            .script
            .iter()
            .position(|next| next.operation.as_deref().is_none_or(|operation| operation == name));
        let fault = match next {
            Some(next) => Some(world.script.remove(next).fault),
            None => world.faults.pick(share(&mut chance)),
        };
        let spread = random_up_to(&mut chance, world.faults.latency_spread_ms);
        let wait = Duration::from_millis(world.faults.latency_ms + spread);
        Ok((fault, wait, Duration::from_millis(world.faults.hang_ms)))
    }

    /// Does what is asked, or answers what was answered under the key before.
    fn carry_out(&self, asked: &Asked, fault: Option<Fault>) -> Result<Given, JournalError> {
        let Asked { operation, key, body } = asked;
        let fingerprint = fingerprint(operation, body);
        let mut world = self.world();
        if let Some(key) = key {
            if world.in_flight.contains(key) {
                let message = "another request under this key is under way";
                let code = "idempotency_key_in_use";
                let refusal = operation.refusal(409, "invalid_request_error", code, message);
                return Ok(Given::Whole(refusal));
            }
            if let Some((known, answer)) = world.state.keys.get(key).and_then(|k| k.done.as_ref()) {
                if *known == fingerprint {
                    return Ok(Given::Again(answer.clone()));
                }
                let message = "the key was used for another request";
                let refusal = operation.refusal(400, "idempotency_error", "key_reused", message);
                return Ok(Given::Whole(refusal));
            }
        }
        let outcome = if fault == Some(Fault::Failed) {
            let message = "the sandbox misbehaves as it was asked to";
            Outcome::saved(operation.refusal(500, "api_error", "failed", message))
        } else {
            self.execute(&world, asked, fault == Some(Fault::Declined))
        };
        if outcome.is_saved {
            let hook = outcome.event.map(|(kind, object)| self.hook(&world, kind, &object));
            let (key, answer) = (key.clone(), outcome.answer.clone());
            let change = outcome.change;
            world.append(&Entry::Done {
                key,
                fingerprint,
                answer,
                change,
                hook: hook.flatten(),
            })?;
            self.news();
        }
        Ok(Given::Whole(outcome.answer))
    }

    /// What a request leads to.
    fn execute(&self, world: &World, asked: &Asked, is_declined: bool) -> Outcome {
        let (state, now) = (&world.state, self.now().timestamp());
        let form = || Form::parse(&asked.body);
        match &asked.operation {
            Operation::Authorise => payments::authorise(state, &form(), now, is_declined),
            Operation::Capture(id) => payments::capture(state, id, &form()),
            Operation::Release(id) => payments::release(state, id),
            Operation::Refund => payments::refund(state, &form(), now),
            Operation::Ship => {
                shipments::ship(state, asked.key.as_deref(), &asked.body, is_declined)
            }
            Operation::CancelShipment(id) => shipments::cancel(state, id, is_declined),
            // A read has its answer in its body. See `api`.
            Operation::Read => Outcome::unsaved(Saved {
                status: 200,
                body: String::from_utf8_lossy(&asked.body).into_owned(),
            }),
        }
    }

    /// The event that tells of a change, if somebody listens.
    fn hook(&self, world: &World, kind: &str, object: &Value) -> Option<Hook> {
        self.hooks()?;
        let (number, now) = (world.state.next_hook, self.now());
        let event = serde_json::json!({
            "id": format!("evt_{number}"),
            "object": "event",
            "api_version": null,
            "created": now.timestamp(),
            "data": { "object": object },
            "livemode": false,
            "type": kind,
        });
        Some(Hook { number, at: now.timestamp_millis(), event, about: About::Payment })
    }
}

fn random_up_to(chance: &mut StdRng, most: u64) -> u64 {
    chance.random_range(0..=most)
}

/// The hash of what a request asks for.
fn fingerprint(operation: &Operation, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{operation:?}\n"));
    hash.update(body);
    hex::encode(hash.finalize())
}
