//! The names that the server may be called by.
//!
//! A page of another site can make its own name lead to this machine (DNS rebinding). Its requests
//! then count as those of the same origin, but they carry that name. So a name that is not listed
//! is refused. An IP address needs no list, because no name leads to it.

use std::net::IpAddr;

use axum::http::uri::Authority;

/// The word that stands for every name.
const ANY: &str = "any";
/// The name of this machine. Names below it also lead to it (RFC 6761).
const LOCALHOST: &str = "localhost";

/// The names that `Host` may have, besides IP addresses and `localhost`. The port does not count.
///
/// The text form is a list of names, separated by commas, or the word `any`.
///
/// ```
/// use service_kit::http::Hosts;
///
/// let hosts: Hosts = "api.example.com".parse()?;
/// assert!(hosts.allow(&"api.example.com:8443".parse().unwrap()));
/// assert!(hosts.allow(&"192.0.2.7:80".parse().unwrap()));
/// assert!(!hosts.allow(&"evil.example".parse().unwrap()));
/// # Ok::<(), service_kit::http::InvalidHost>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    any: bool,
    names: Vec<String>,
}

/// The text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a host name: expected names such as api.example.com, or the word any")]
pub struct InvalidHost(String);

impl Hosts {
    /// Whether the server may be called by this name.
    pub fn allow(&self, authority: &Authority) -> bool {
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        // A name may end with a dot, which stands for the root of all names.
        let name = host.strip_suffix('.').unwrap_or(host);
        self.any
            || bare.parse::<IpAddr>().is_ok()
            || is_localhost(name)
            || self.names.iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// Whether it is a name that leads to one server everywhere: neither an IP address nor `localhost`,
/// which is another machine for everybody.
pub(super) fn is_domain(authority: &Authority) -> bool {
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_err() && !is_localhost(host.strip_suffix('.').unwrap_or(host))
}

/// Whether it is `localhost` or a name below it.
fn is_localhost(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case(LOCALHOST)
}

impl std::str::FromStr for Hosts {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let mut hosts = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == ANY {
                hosts.any = true;
                continue;
            }
            let is_name =
                word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            if !is_name {
                return Err(InvalidHost(word.to_owned()));
            }
            hosts.names.push(word.to_ascii_lowercase());
        }
        Ok(hosts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn allowed(hosts: &str, host: &str) -> bool {
        hosts.parse::<Hosts>().unwrap().allow(&host.parse().unwrap())
    }

    #[test]
    fn addresses_and_this_machine_need_no_list() {
        for host in [
            "127.0.0.1:8080",
            "192.0.2.7",
            "[::1]:80",
            "localhost:1",
            "LOCALHOST",
            "a.localhost",
            "localhost.",
        ] {
            assert!(allowed("", host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "notlocalhost"] {
            assert!(!allowed("", host), "{host}");
        }
    }

    #[test]
    fn a_listed_name_counts_with_any_port_and_in_any_case_but_not_the_names_below_it() {
        let hosts = "api.example.com, command-api";
        for host in
            ["api.example.com", "API.example.com:8443", "api.example.com.", "command-api:80"]
        {
            assert!(allowed(hosts, host), "{host}");
        }
        for host in ["example.com", "x.api.example.com", "api.example.com.evil.example"] {
            assert!(!allowed(hosts, host), "{host}");
        }
        assert!(allowed("any", "evil.example"));
    }

    #[test]
    fn any_other_text_is_no_name() {
        for text in ["http://a", "a:80", "a b", "*.example.com", "a/b", "[::1]"] {
            assert_eq!(text.parse::<Hosts>(), Err(InvalidHost(text.to_owned())));
        }
    }
}
