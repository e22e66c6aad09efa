//! Reads the events that the sandbox's shipper sends.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

use super::shipping::Shown;
use crate::adapter::signed::{Received, Signed, WebhookError};
use crate::port::shipping::Shipment;

/// The header with the signature.
pub const SIGNATURE: &str = "sandbox-signature";

/// Reads events that are signed with one of our secrets.
#[derive(Debug)]
pub struct ShipmentWebhooks(Signed);

/// What the shipper reports about a shipment. It may come late, more than once and out of order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipmentNotice {
    /// The id of the event, the same in each repeat.
    pub id: String,
    /// The shipment as it was then.
    pub shipment: Shipment,
}

#[derive(Deserialize)]
struct Event {
    id: String,
    shipment: Shown,
}

impl ShipmentWebhooks {
    /// Events that are signed with one of these secrets, one per line. There are two while one
    /// replaces the other.
    pub fn new(secrets: &SecretString) -> Self {
        Self(Signed::with(secrets))
    }

    /// Reads an event: the value of its header [`SIGNATURE`] and its body as it came.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn receive(
        &self,
        signature: &str,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Received<ShipmentNotice>, WebhookError> {
        self.0.check(signature, body, now)?;
        let event: Event = serde_json::from_slice(body).map_err(|_| WebhookError::Unreadable)?;
        let shipment = event.shipment.shipment().ok_or(WebhookError::Unreadable)?;
        Ok(self.0.received(event.id, now, |id| ShipmentNotice { id, shipment }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::port::shipping::ShipmentState;

    #[test]
    fn an_event_says_once_what_became_of_a_shipment() {
        let webhooks = ShipmentWebhooks::new(&SecretString::from("one"));
        let now = DateTime::from_timestamp(1_776_848_401, 0).unwrap();
        let body = json!({"id": "evt_1", "type": "shipment.delivered", "shipment": {
            "id": "shp_1", "order": "0190b3a2-0000-7000-8000-000000000001",
            "state": "delivered", "tracking": null}});
        let body = body.to_string();
        let receive = || {
            let signature = sandbox::sign("one", now.timestamp(), &body);
            webhooks.receive(&signature, body.as_bytes(), now)
        };
        let Received::New(notice, claim) = receive().unwrap() else { panic!("it is new") };
        assert_eq!(notice.shipment.state, ShipmentState::Delivered);
        assert!(matches!(receive(), Ok(Received::UnderWay)));
        drop(claim);
        let Received::New(again, claim) = receive().unwrap() else { panic!("nobody acted on it") };
        assert_eq!(again, notice);
        claim.done();
        assert!(matches!(receive(), Ok(Received::Repeated)));
    }
}
