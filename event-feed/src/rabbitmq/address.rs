//! The address of RabbitMQ. It holds a password, so it is never printed.

use std::fmt;
use std::str::FromStr;

use lapin::uri::AMQPUri;

/// How often both sides show that they are alive, in seconds. After twice this time without a sign,
/// the server closes a connection.
const HEARTBEAT_SECONDS: u16 = 5;

/// The text is not an address. The error does not repeat it, because it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the RabbitMQ address is not valid (expected amqp://user:password@host:port/vhost, or amqps)"
)]
pub struct AddressError;

/// The address of a RabbitMQ server, with user, password and virtual host.
#[derive(Clone)]
pub struct RabbitAddress(AMQPUri);

impl RabbitAddress {
    /// The address as the client takes it.
    pub(crate) fn uri(&self) -> AMQPUri {
        self.0.clone()
    }
}

impl FromStr for RabbitAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let mut uri: AMQPUri = text.trim().parse().map_err(|_| AddressError)?;
        uri.query.heartbeat = Some(HEARTBEAT_SECONDS);
        Ok(Self(uri))
    }
}

impl fmt::Debug for RabbitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.0.authority;
        write!(f, "RabbitAddress({}:{}/{})", authority.host, authority.port, self.0.vhost)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_address_shows_where_it_leads_and_no_password() {
        let address: RabbitAddress = "amqp://me:s3cret@localhost:5673/shop".parse().unwrap();
        assert_eq!(format!("{address:?}"), "RabbitAddress(localhost:5673/shop)");
        assert_eq!(address.uri().authority.userinfo.password, "s3cret");
    }

    #[test]
    fn another_text_is_refused_without_repeating_it() {
        for text in ["", "localhost", "http://me:s3cret@localhost", "amqp:s3cret"] {
            let error = text.parse::<RabbitAddress>().unwrap_err();
            assert!(!format!("{error:?} {error}").contains("s3cret"));
        }
    }
}
