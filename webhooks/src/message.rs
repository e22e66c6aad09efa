//! What a receiver gets: an event as CloudEvents 1.0 in JSON (structured mode). It is built for
//! each attempt from the event in the log, and never stored.
//!
//! Who acted is left out ([`PRIVATE`]), and so are personal fields, unless the subscription may
//! have them. A field that is left out is absent, or `null` in a list. Fields of an erased subject
//! are `null` for those who may have them.

use event_feed::cloud_event::{Attribute, CloudEvent};
use event_store::{Epoch, RecordedEvent};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The content type of a message.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";
/// The attributes that only a subscription with personal data gets.
pub const PRIVATE: [Attribute; 3] =
    [Attribute::Actor, Attribute::CredentialId, Attribute::ClientId];

/// The names of a personal field's content, in the log and in the clear.
const CONTENTS: [&str; 2] = ["$sealed", "$personal"];

/// What is sent to one destination.
#[derive(Debug, Clone)]
pub struct Message {
    /// The same for each attempt and each replay of one event to one subscription.
    pub id: String,
    /// The replay that it is part of.
    pub replay: Option<Uuid>,
    /// The trace context of the command that caused the event.
    pub traceparent: Option<String>,
    /// The event, as JSON.
    pub body: Vec<u8>,
}

/// Why an event cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("the event cannot be written as JSON")]
pub struct Unwritable(#[from] serde_json::Error);

/// How an event is written for a subscription.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The subscription.
    pub subscription: Uuid,
    /// Whether it gets personal data. The event's personal fields must be in the clear then.
    pub personal: bool,
    /// The replay that the message is part of.
    pub replay: Option<Uuid>,
}

impl Form {
    /// Writes an event of the log with this epoch.
    ///
    /// # Errors
    /// [`Unwritable`], if the event's data is not JSON.
    pub fn message(self, event: &RecordedEvent, epoch: Epoch) -> Result<Message, Unwritable> {
        let cloud_event = CloudEvent::new(event, epoch);
        let is_shown = |attribute: Attribute| self.personal || !PRIVATE.contains(&attribute);
        let values = cloud_event
            .values(&Attribute::IDENTIFYING)
            .chain(cloud_event.values(&Attribute::LABELS))
            .filter(|(attribute, _)| is_shown(*attribute));
        let mut members: Map<String, Value> = values
            .map(|(attribute, value)| (attribute.name().to_owned(), value.into_owned().into()))
            .collect();
        let mut data: Value = serde_json::from_str(cloud_event.data())?;
        leave_out(&mut data, self.personal);
        members.insert("data".to_owned(), data);
        Ok(Message {
            id: message_id(self.subscription, event.id),
            replay: self.replay,
            traceparent: event.metadata.traceparent.clone(),
            body: serde_json::to_vec(&members)?,
        })
    }
}

/// The id of an event's message to a subscription, as in `webhook-id`.
pub fn message_id(subscription: Uuid, event: Uuid) -> String {
    format!("msg_{}", Uuid::new_v5(&subscription, event.as_bytes()).simple())
}

/// Removes personal fields below this value. With `personal`, only those that are still encrypted.
fn leave_out(value: &mut Value, personal: bool) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !is_left_out(member, personal));
            members.values_mut().for_each(|member| leave_out(member, personal));
        }
        Value::Array(items) => {
            for item in items {
                if is_left_out(item, personal) {
                    *item = Value::Null;
                }
                leave_out(item, personal);
            }
        }
        _ => {}
    }
}

fn is_left_out(value: &Value, personal: bool) -> bool {
    let [sealed, clear] = CONTENTS.map(|name| value.get(name).is_some());
    sealed || (clear && !personal)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn left(mut data: Value, personal: bool) -> Value {
        leave_out(&mut data, personal);
        data
    }

    #[test]
    fn personal_fields_are_left_out_at_every_depth_unless_they_may_be_seen() {
        let person = Uuid::nil();
        let sealed = json!({"$subject": person, "$sealed": "AWx3"});
        let clear = json!({"$subject": person, "$personal": "Ada"});
        let erased = json!({"$subject": person, "$personal": null});
        let data = json!({
            "n": 1, "a": sealed, "b": {"c": clear, "d": [sealed, clear, 2]}, "e": erased,
        });
        let without = json!({"n": 1, "b": {"d": [null, null, 2]}});
        assert_eq!(left(data.clone(), false), without);
        let with = json!({"n": 1, "b": {"c": clear, "d": [null, clear, 2]}, "e": erased});
        assert_eq!(left(data, true), with);
    }

    #[test]
    fn the_id_of_a_message_is_the_same_for_one_event_and_subscription() {
        let (ours, theirs, event) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        assert_eq!(message_id(ours, event), message_id(ours, event));
        assert_ne!(message_id(ours, event), message_id(theirs, event));
        assert_ne!(message_id(ours, event), message_id(ours, Uuid::now_v7()));
        // Dots would make the signed text ambiguous.
        assert!(!message_id(ours, event).contains('.'));
    }
}
