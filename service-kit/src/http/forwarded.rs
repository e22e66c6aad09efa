//! The header in which a proxy names the client: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
//!
//! Only one of them is read. A proxy adds to the header that it knows and may pass the other on as
//! the client sent it. Both are read from the end, where the last proxy writes.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The header in which trusted proxies name the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`: addresses, separated by commas.
    #[default]
    XForwardedFor,
    /// `Forwarded`, as in RFC 7239.
    Forwarded,
}

impl ForwardedHeader {
    /// The name of the header, as the setting has it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The addresses in the header, the last one first. `None` stands for an entry that is not
    /// an address.
    pub(super) fn addresses(self, headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self {
            Self::XForwardedFor => (X_FORWARDED_FOR, parse_address),
            Self::Forwarded => (header::FORWARDED, parse_element),
        };
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        let lines = lines.into_iter().rev();
        // A line that is not text counts as one entry that is not an address.
        let entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        entries.map(move |entry| read(entry.trim()))
    }
}

/// Parses an address with or without a port.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.parse::<IpAddr>().ok();
    bare.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .map(|address| address.to_canonical())
}

/// The address in `for` of an element of `Forwarded`. `None` if there is none, or if any part of
/// the element is malformed: it may then be the rest of a quoted text that holds a comma.
fn parse_element(element: &str) -> Option<IpAddr> {
    let mut client = None;
    // The standard allows empty pairs.
    for pair in element.split(';').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.trim().split_once('=')?;
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = quoted.unwrap_or(value);
        if !is_token(name) || value.contains(['"', '\\']) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && client.replace(value).is_some() {
            return None;
        }
    }
    // An IPv6 address has brackets here, with or without a port.
    let client = client?;
    let v6 = client.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    parse_address(v6.unwrap_or(client))
}

fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::http::HeaderValue;

    use super::*;

    fn addresses(header: ForwardedHeader, lines: &[(&str, &[u8])]) -> Vec<Option<IpAddr>> {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        header.addresses(&headers).collect()
    }

    #[test]
    fn forwarded_names_the_client_in_each_form_of_the_standard() {
        for (element, address) in [
            ("for=192.0.2.43", Some("192.0.2.43")),
            ("For=\"192.0.2.43:4711\";proto=https;by=203.0.113.43", Some("192.0.2.43")),
            ("proto=http; for=\"[2001:db8::17]:4711\"", Some("2001:db8::17")),
            ("for=\"[2001:db8::17]\"", Some("2001:db8::17")),
            ("for=192.0.2.43;", Some("192.0.2.43")),
            (";", None),
            ("for=unknown", None),
            ("for=_hidden", None),
            ("proto=http", None),
            ("for=192.0.2.1;for=192.0.2.2", None),
            ("", None),
            // The rest of quoted texts with a comma.
            ("for=192.0.2.1\"", None),
            ("for=192.0.2.1;x=\\\"y\\\"\"", None),
            ("for=192.0.2.1;x\"", None),
        ] {
            let found = addresses(ForwardedHeader::Forwarded, &[("forwarded", element.as_bytes())]);
            assert_eq!(found, [address.map(|text| text.parse().unwrap())], "{element}");
        }
    }

    #[test]
    fn the_last_entry_of_the_last_line_comes_first_and_the_other_header_is_not_read() {
        let lines: &[(&str, &[u8])] = &[
            ("x-forwarded-for", b"192.0.2.1, 192.0.2.2:80"),
            ("x-forwarded-for", b"caf\xe9"),
            ("x-forwarded-for", b"192.0.2.3"),
            ("forwarded", b"for=192.0.2.9"),
        ];
        let expected = [Some("192.0.2.3"), None, Some("192.0.2.2"), Some("192.0.2.1")];
        let expected = expected.map(|text| text.map(|text| text.parse().unwrap()));
        assert_eq!(addresses(ForwardedHeader::XForwardedFor, lines), expected);
        let other = addresses(ForwardedHeader::Forwarded, lines);
        assert_eq!(other, [Some("192.0.2.9".parse().unwrap())]);
    }
}
