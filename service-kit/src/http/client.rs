//! The network address of a request's client.

use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::wire::Wire;

/// An extractor for the client's network address: the peer of the connection, or the client that a
/// trusted proxy names. `None` if neither is known. An extension of this type takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl<S: Send + Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().copied();
        let of_wire = || parts.extensions.get::<Wire>().map(|wire| wire.client(&parts.headers));
        Ok(known.unwrap_or_else(|| Self(of_wire())))
    }
}
