//! Where a public port listens, and what protects its callers when other machines can reach it.
//!
//! On loopback, a port needs nothing. Beyond it, tokens and passwords cross a network, so the
//! program must know who calls, and either the port encrypts or the proxies in front of it do. A
//! port that leaves TLS to proxies serves only them and its own machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::address::TrustedProxies;
use super::tls::{CERTIFICATE, KEY, Tls, TlsError};
use crate::loopback::{LoopbackAddr, Malformed, parse};

/// An address to listen on.
///
/// ```
/// # use service_kit::config::ListenAddr;
/// assert_eq!("localhost:80".parse::<ListenAddr>().unwrap().to_string(), "127.0.0.1:80");
/// assert!("0.0.0.0:8080".parse::<ListenAddr>().is_ok());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddr(SocketAddr);

impl ListenAddr {
    /// Whether other machines can reach the address.
    pub const fn is_open(self) -> bool {
        !self.0.ip().is_loopback()
    }
}

impl std::str::FromStr for ListenAddr {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        parse(text).map(Self)
    }
}

impl std::fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The certificate of a public port.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TlsArgs {
    /// A PEM file with the certificate of the API's port, and those between it and its authority.
    /// With it, the port speaks TLS only. The files are read again when they change.
    #[arg(long, env = "TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// A PEM file with the private key of the certificate.
    #[arg(long, env = "TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Reads the certificate and its key; `None` if they are not set.
    ///
    /// # Errors
    /// [`TlsError`]: one of them is missing, or they cannot be used.
    pub fn tls(&self) -> Result<Option<Tls>, TlsError> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Tls::read(certificate, key).map(Some),
            (Some(_), None) => Err(TlsError::Half(CERTIFICATE, KEY)),
            (None, Some(_)) => Err(TlsError::Half(KEY, CERTIFICATE)),
            (None, None) => Ok(None),
        }
    }
}

/// Whether a program knows who calls its public port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// It verifies the credentials of each request.
    Known,
    /// It does not, until this setting is given.
    Unknown {
        /// The name of the setting.
        missing: &'static str,
    },
}

/// Why a port cannot listen where a setting says. The text names the setting.
#[derive(Debug, thiserror::Error)]
pub enum ListenRefused {
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The program does not know who calls.
    #[error(
        "{setting}: other machines can reach {address}, and without {missing} nobody can say who \
         they are: set {missing}, or listen on loopback (127.0.0.1 or [::1])"
    )]
    Anonymous {
        /// The setting of the address.
        setting: &'static str,
        /// The address that other machines can reach.
        address: ListenAddr,
        /// The setting that is missing.
        missing: &'static str,
    },
    /// Neither the port nor a listed proxy encrypts.
    #[error(
        "{setting}: other machines can reach {address}, and what they send would cross the network \
         in clear: set TLS_CERTIFICATE and TLS_KEY, or list the proxies that do the TLS in \
         TRUSTED_PROXIES, or listen on loopback (127.0.0.1 or [::1])"
    )]
    Clear {
        /// The setting of the address.
        setting: &'static str,
        /// The address that other machines can reach.
        address: ListenAddr,
    },
    /// The list of proxies has every address.
    #[error(
        "TRUSTED_PROXIES: {setting} listens on {address} without TLS, so the list must name the \
         proxies, and not every address"
    )]
    EveryProxy {
        /// The setting of the address.
        setting: &'static str,
        /// The address that other machines can reach.
        address: ListenAddr,
    },
}

/// Where a port listens, and how its callers are protected.
#[derive(Debug, Clone)]
pub struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) protection: Protection,
}

/// How the callers of a port are protected from others on the network.
#[derive(Debug, Clone)]
pub(crate) enum Protection {
    /// Only this machine reaches the port.
    Loopback,
    /// The port speaks TLS.
    Tls(Tls),
    /// The proxies in front speak TLS. Nobody else is served.
    Proxies(TrustedProxies),
}

impl Listen {
    /// Checks that callers are protected at the address that `setting` gives.
    ///
    /// # Errors
    /// [`ListenRefused`].
    pub fn checked(
        (setting, address): (&'static str, ListenAddr),
        callers: Callers,
        tls: &TlsArgs,
        proxies: &TrustedProxies,
    ) -> Result<Self, ListenRefused> {
        let tls = tls.tls()?;
        if let (true, Callers::Unknown { missing }) = (address.is_open(), callers) {
            return Err(ListenRefused::Anonymous { setting, address, missing });
        }
        let protection = match tls {
            Some(tls) => Protection::Tls(tls),
            None if !address.is_open() => Protection::Loopback,
            None if proxies.is_empty() => return Err(ListenRefused::Clear { setting, address }),
            None if proxies.has_everybody() => {
                return Err(ListenRefused::EveryProxy { setting, address });
            }
            None => Protection::Proxies(proxies.clone()),
        };
        Ok(Self { address: address.0, protection })
    }
}

impl From<LoopbackAddr> for Listen {
    fn from(address: LoopbackAddr) -> Self {
        Self { address: address.get(), protection: Protection::Loopback }
    }
}

impl Protection {
    /// The certificate, if the port speaks TLS.
    pub(crate) const fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Loopback | Self::Proxies(_) => None,
        }
    }

    /// Whether a connection from this address is served.
    pub(crate) fn serves(&self, peer: IpAddr) -> bool {
        match self {
            Self::Loopback | Self::Tls(_) => true,
            Self::Proxies(proxies) => peer.to_canonical().is_loopback() || proxies.contains(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const KNOWN: Callers = Callers::Known;

    fn check(address: &str, callers: Callers, proxies: &str) -> Result<Listen, String> {
        let address = ("EXAMPLE_LISTEN", address.parse().unwrap());
        let proxies = proxies.parse().unwrap();
        Listen::checked(address, callers, &TlsArgs::default(), &proxies)
            .map_err(|refused| refused.to_string())
    }

    #[test]
    fn loopback_needs_nothing() {
        let unknown = Callers::Unknown { missing: "LOG_IN_URL" };
        for address in ["127.0.0.1:80", "[::1]:80", "localhost:80"] {
            let listen = check(address, unknown, "").unwrap();
            assert!(matches!(listen.protection, Protection::Loopback), "{address}");
        }
    }

    #[test]
    fn beyond_loopback_the_settings_that_are_missing_are_named() {
        for address in ["0.0.0.0:80", "192.0.2.1:80", "[::]:80"] {
            let clear = check(address, KNOWN, "").unwrap_err();
            for name in ["EXAMPLE_LISTEN", address, "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES"]
            {
                assert!(clear.contains(name), "{clear}");
            }
            let unknown = Callers::Unknown { missing: "LOG_IN_URL" };
            let anonymous = check(address, unknown, "10.0.0.1").unwrap_err();
            assert!(anonymous.contains("EXAMPLE_LISTEN") && anonymous.contains("set LOG_IN_URL"));
        }
        for everybody in ["0.0.0.0/0", "10.0.0.1, ::/0"] {
            let refused = check("0.0.0.0:80", KNOWN, everybody).unwrap_err();
            assert!(refused.starts_with("TRUSTED_PROXIES: "), "{refused}");
        }
    }

    #[test]
    fn without_tls_only_the_proxies_and_this_machine_are_served() {
        let listen = check("0.0.0.0:80", KNOWN, "10.0.0.0/8").unwrap();
        for (peer, served) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("127.0.0.1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(listen.protection.serves(peer.parse().unwrap()), served, "{peer}");
        }
    }

    #[test]
    fn with_a_certificate_everybody_is_served_but_only_if_callers_can_say_who_they_are() {
        let files = local_servers::Certificate::for_localhost();
        let tls = TlsArgs { tls_certificate: Some(files.file()), tls_key: Some(files.key_file()) };
        let check = |address: &str, callers| {
            let address = ("EXAMPLE_LISTEN", address.parse().unwrap());
            Listen::checked(address, callers, &tls, &TrustedProxies::default())
        };
        for address in ["0.0.0.0:80", "127.0.0.1:80"] {
            let protection = check(address, KNOWN).unwrap().protection;
            assert!(protection.tls().is_some(), "{address}");
            assert!(protection.serves("192.0.2.1".parse().unwrap()), "{address}");
        }
        let unknown = Callers::Unknown { missing: "USERS_URL" };
        let refused = check("0.0.0.0:80", unknown).unwrap_err();
        assert!(matches!(refused, ListenRefused::Anonymous { .. }), "{refused}");
    }

    #[test]
    fn half_of_a_certificate_is_refused_also_on_loopback() {
        let half = TlsArgs { tls_key: Some("key.pem".into()), ..TlsArgs::default() };
        let address = ("EXAMPLE_LISTEN", "127.0.0.1:80".parse().unwrap());
        let refused = Listen::checked(address, KNOWN, &half, &TrustedProxies::default());
        let refused = refused.unwrap_err().to_string();
        assert_eq!(refused, "TLS_KEY is set without TLS_CERTIFICATE: give both");
    }
}
