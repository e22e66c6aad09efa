//! Resolves the names of receivers, and lets only addresses within reach through. The client
//! connects to what this returns, so nothing can change between the check and the connection.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::time::timeout;

use super::{OutOfReach, Reach};

/// How long resolving a name may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(3);
/// The maximum number of addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Resolves names within a [`Reach`].
#[derive(Debug, Clone)]
pub struct Resolver {
    reach: Reach,
    is_plain: bool,
}

impl Resolver {
    /// A resolver for connections with TLS, or without it.
    pub const fn new(reach: Reach, is_plain: bool) -> Self {
        Self { reach, is_plain }
    }

    /// Checks the addresses of a name. One that is out of reach spoils all: a name that leads both
    /// inside and outside is an attempt to get inside.
    ///
    /// # Errors
    /// [`OutOfReach`] also for a name without an address.
    fn checked(
        &self,
        found: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutOfReach> {
        let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
        for address in &found {
            self.reach.check(address.ip(), self.is_plain)?;
        }
        if found.is_empty() { Err(OutOfReach) } else { Ok(found) }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // The client replaces the port 0 by that of the URL.
            let looking = tokio::net::lookup_host((name.as_str(), 0));
            let found = timeout(RESOLVE_LIMIT, looking).await??;
            let addresses: Addrs = Box::new(resolver.checked(found)?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_address_inside_spoils_a_name() {
        let resolver = Resolver::new(Reach::default(), false);
        let checked = |texts: &[&str]| {
            let found = texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0));
            resolver.checked(found.collect::<Vec<_>>().into_iter()).map(|found| found.len())
        };
        assert_eq!(checked(&["1.1.1.1", "2a00::1"]), Ok(2));
        assert_eq!(checked(&["1.1.1.1", "10.0.0.1"]), Err(OutOfReach));
        assert_eq!(checked(&["1.1.1.1", "::1"]), Err(OutOfReach));
        assert_eq!(checked(&[]), Err(OutOfReach));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_out_of_reach_unless_its_network_is_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Resolver::new(Reach::default(), false).resolve(name()).await.err().unwrap();
        assert!(refused.downcast_ref::<OutOfReach>().is_some(), "{refused}");
        let here = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
        let allowed = Resolver::new(Reach::with_allowed(here.to_vec()), true).resolve(name());
        assert!(allowed.await.unwrap().all(|address| address.ip().is_loopback()));
    }
}
