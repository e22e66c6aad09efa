//! The shipper of the sandbox.

use std::fmt;

use domain::value::{PostalCode, Quantity, Region};
use outward::header::{CONTENT_TYPE, HeaderValue};
use outward::{
    Address, Answer, Effect, Http, Repeat, Report, Request, Settings, StatusCode, Target, Verdict,
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::port::shipping::{Parcel, Shipment, ShipmentId, ShipmentState};
use crate::port::{Call, Code, Fate, GatewayError, Shipping};

const SHIPMENTS: &str = "/shipping/v1/shipments";
const FORBIDDEN: &str = "/shipping/v1/forbidden";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const UNREADABLE: &str = "the shipper's answer cannot be read";

/// Shipments by the sandbox.
pub struct SandboxShipping(Target);

/// Why the adapter cannot be made: the HTTP client cannot.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made")]
pub struct ShippingError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// A shipment, as the sandbox shows it.
#[derive(Deserialize)]
pub(super) struct Shown {
    id: String,
    order: Uuid,
    state: Phase,
    tracking: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Requested,
    Dispatched,
    Delivered,
    Cancelled,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
}

impl fmt::Debug for SandboxShipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SandboxShipping")
    }
}

impl SandboxShipping {
    /// Shipments by the sandbox at an address, with the limits of its calls. `name` is the
    /// target's name in metrics.
    ///
    /// # Errors
    /// [`ShippingError`].
    pub fn new(
        name: &'static str,
        address: Address,
        mut settings: Settings,
    ) -> Result<Self, ShippingError> {
        settings.judge = judge;
        let http = Http::new(address, &settings);
        let http = http.map_err(|error| ShippingError(Box::new(error)))?;
        Ok(Self(Target::new(name, http, settings)))
    }

    /// How things are with the shipper.
    pub fn report(&self) -> Report {
        self.0.report()
    }

    async fn send(&self, call: &Call, request: Request) -> Result<Answer, GatewayError> {
        let request = request.traceparent(call.traceparent.clone()).total_limit(call.limit);
        Ok(self.0.call(request).await?)
    }

    async fn change(
        &self,
        call: &Call,
        path: String,
        body: String,
    ) -> Result<Answer, GatewayError> {
        let request = Request::post(path, body)
            .header(CONTENT_TYPE, JSON)
            .repeat(Repeat::with_key(call.key.to_string()));
        let answer = self.send(call, request).await?;
        failure(&answer).map_or(Ok(answer), Err)
    }

    /// Reads one shipment; `None` if there is none.
    async fn look_up(&self, call: &Call, path: String) -> Result<Option<Shipment>, GatewayError> {
        let answer = self.send(call, Request::get(path)).await.map_err(unread)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        failure(&answer).map_or(Ok(()), |error| Err(unread(error)))?;
        let unreadable = || unread(GatewayError::unknown(UNREADABLE));
        shipment(&answer).map(Some).ok_or_else(unreadable)
    }
}

/// A look-up takes no effect, so its outcome is never unknown.
fn unread(error: GatewayError) -> GatewayError {
    match error {
        GatewayError::Unknown { retry_after, why } => {
            GatewayError::Unavailable { retry_after, why }
        }
        other => other,
    }
}

/// The error that a final answer means, unless it is a success.
fn failure(answer: &Answer) -> Option<GatewayError> {
    if answer.status.is_success() {
        return None;
    }
    let failure: Option<Failure> = serde_json::from_slice(&answer.body).ok();
    let code = Code::new(failure.map_or(String::new(), |failure| failure.code).as_str());
    Some(match answer.status.as_u16() {
        422 => GatewayError::Declined { code },
        401 | 403 => GatewayError::invalid("access_refused"),
        // These say nothing about the effect, and pass by themselves.
        408 | 409 | 425 | 429 => unknown(answer.status),
        400..=499 => GatewayError::Invalid { code },
        _ => unknown(answer.status),
    })
}

fn unknown(status: StatusCode) -> GatewayError {
    GatewayError::unknown(&format!("the shipper answered {}", status.as_u16()))
}

/// Whether an answer is final. A conflict (409) is not: another attempt under the same key is still
/// under way, and may take effect.
fn judge(answer: &Answer) -> Verdict {
    if answer.status == StatusCode::CONFLICT {
        return Verdict::Again(Effect::Unknown);
    }
    outward::judge(answer)
}

impl Shown {
    /// The shipment; `None` if its id is not one.
    pub(super) fn shipment(self) -> Option<Shipment> {
        Some(Shipment {
            id: ShipmentId::parse(&self.id).ok()?,
            order: self.order,
            tracking: self.tracking,
            state: match self.state {
                Phase::Requested => ShipmentState::Requested,
                Phase::Dispatched => ShipmentState::Dispatched,
                Phase::Delivered => ShipmentState::Delivered,
                Phase::Cancelled => ShipmentState::Cancelled,
            },
        })
    }
}

fn shipment(answer: &Answer) -> Option<Shipment> {
    serde_json::from_slice::<Shown>(&answer.body).ok()?.shipment()
}

#[async_trait::async_trait]
impl Shipping for SandboxShipping {
    async fn request(&self, call: &Call, parcel: &Parcel) -> Result<Shipment, GatewayError> {
        let (address, to) = (&parcel.address, &parcel.destination);
        let body = json!({
            "order": parcel.order,
            "recipient": address.recipient.as_str(),
            "street": address.street.as_str(),
            "city": address.city.as_str(),
            "postal_code": address.postal_code.as_ref().map(PostalCode::as_str),
            "country": to.country.code(),
            "region": to.region.as_ref().map(Region::as_str),
            "items": parcel.items.iter().map(item).collect::<Vec<_>>(),
        });
        read(&self.change(call, SHIPMENTS.to_owned(), body.to_string()).await?)
    }

    async fn cancel(&self, call: &Call, shipment: &ShipmentId) -> Result<Shipment, GatewayError> {
        let path = format!("{SHIPMENTS}/{}/cancel", shipment.as_str());
        read(&self.change(call, path, String::new()).await?)
    }

    async fn forbid(&self, call: &Call) -> Result<Fate, GatewayError> {
        let body = json!({ "key": call.key }).to_string();
        let answer = self.change(call, FORBIDDEN.to_owned(), body).await?;
        // There is a shipment already, or there never will be one.
        Ok(if answer.status == StatusCode::OK { Fate::Used } else { Fate::Never })
    }

    async fn find(&self, call: &Call) -> Result<Option<Shipment>, GatewayError> {
        self.look_up(call, format!("{SHIPMENTS}?key={}", call.key)).await
    }

    async fn read(&self, call: &Call, shipment: &ShipmentId) -> Result<Shipment, GatewayError> {
        let found = self.look_up(call, format!("{SHIPMENTS}/{}", shipment.as_str())).await?;
        found.ok_or_else(|| GatewayError::invalid("not_found"))
    }
}

/// The shipment in an answer to a change.
fn read(answer: &Answer) -> Result<Shipment, GatewayError> {
    shipment(answer).ok_or_else(|| GatewayError::unknown(UNREADABLE))
}

/// An item of a shipment.
fn item((product, quantity): &(Uuid, Quantity)) -> Value {
    json!({ "product": product, "quantity": quantity.get() })
}
