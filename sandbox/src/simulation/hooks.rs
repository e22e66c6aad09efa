//! Sends events, signed as Stripe signs them. An event is sent until the receiver answers 2xx.
//! Events of shipments have their own header.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use hmac::{Hmac, KeyInit as _, Mac as _};
use outward::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use outward::{Address, Http, Repeat, Request, Target};
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::fault::{chance, share};
use crate::simulation::api::Sandbox;
use crate::simulation::state::{About, Entry, Hook};

const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");
const SHIPMENT_SIGNATURE: HeaderName = HeaderName::from_static("sandbox-signature");
/// The maximum number of events that are sent at once.
const AT_ONCE: usize = 8;
/// How often events that nobody took are sent again, and new ones are looked for at least.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where events are sent, and what signs them.
#[derive(Debug, Clone)]
pub struct HookSettings {
    /// The address of the receiver.
    pub address: Address,
    /// The path of the receiver of payments, which begins with a slash.
    pub payments: String,
    /// The path of the receiver of shipments.
    pub shipments: String,
    /// The secret that signs events.
    pub secret: String,
}

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct NoClient(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The value of `Stripe-Signature` for a body at a time in seconds since 1970.
pub fn sign(secret: &str, time: i64, body: &str) -> String {
    // A key of any length is accepted.
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{time}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    format!("t={time},v1={}", mac.unwrap_or_default())
}

impl Sandbox {
    /// Delivers events until `stop`.
    ///
    /// # Errors
    /// The HTTP client cannot be made.
    pub async fn deliver(&self, stop: CancellationToken) -> Result<(), NoClient> {
        let Some(settings) = self.hooks() else {
            stop.cancelled().await;
            return Ok(());
        };
        let limits = outward::Settings::default();
        let http = Http::new(settings.address.clone(), &limits);
        let http = http.map_err(|error| NoClient(Box::new(error)))?;
        let target = Target::new("webhooks", http, limits);
        stop.run_until_cancelled(self.rounds(settings, &target)).await;
        Ok(())
    }

    async fn rounds(&self, settings: &HookSettings, target: &Target) {
        loop {
            let due = self.due();
            let sent = stream::iter(due).map(|hook| self.send(settings, target, hook));
            sent.buffer_unordered(AT_ONCE).collect::<()>().await;
            tokio::select! {
                () = self.some_news() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// The events that are to be sent now.
    fn due(&self) -> Vec<Hook> {
        let now = self.now().timestamp_millis();
        let world = self.world();
        let delay = i64::try_from(world.faults.hook_delay_ms).unwrap_or(i64::MAX);
        let is_due = |hook: &&Hook| hook.at.saturating_add(delay) <= now;
        world.state.hooks.values().filter(is_due).cloned().collect()
    }

    /// Sends an event once or twice, and records that the receiver took it.
    async fn send(&self, settings: &HookSettings, target: &Target, hook: Hook) {
        let twice = self.world().faults.twice;
        let is_twice = share(&mut chance(self.seed(), "hook", hook.number)) < twice;
        let body = hook.event.to_string();
        let (path, header) = match hook.about {
            About::Payment => (&settings.payments, PAYMENT_SIGNATURE),
            About::Shipment => (&settings.shipments, SHIPMENT_SIGNATURE),
        };
        for _ in 0..=u8::from(is_twice) {
            let signature = sign(&settings.secret, self.now().timestamp(), &body);
            let Ok(signature) = HeaderValue::from_str(&signature) else { return };
            let request = Request::post(path, body.clone())
                .header(header.clone(), signature)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .repeat(Repeat::with_key(format!("evt_{}", hook.number)));
            match target.call(request).await {
                Ok(answer) if answer.status.is_success() => {}
                Ok(answer) => {
                    tracing::warn!(status = answer.status.as_u16(), "an event was not taken");
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = cli_kit::describe(&error), "an event was not taken");
                    return;
                }
            }
        }
        if let Err(error) = self.world().append(&Entry::Delivered { hook: hook.number }) {
            tracing::error!(error = cli_kit::describe(&error), "the state cannot be written");
        }
    }
}
