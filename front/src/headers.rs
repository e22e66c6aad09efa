//! The fields that the front removes from a message's head and adds to it, in both directions.
//!
//! The front decides who the client is, by its own `TRUSTED_PROXIES`. It names that one address to
//! the APIs in both headers for it. What the client or a proxy before the front wrote there does
//! not pass. So an API needs to trust the front's address and no other. `Host` and `Origin` pass as
//! they are: the APIs check them again, against the same lists.

use std::net::IpAddr;

use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use service_kit::http::{RequestId, TraceParent};

/// The fields for one connection only (RFC 9110, section 7.6.1), besides those that `Connection`
/// names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// Fields of a request that the front sets or answers itself: it sends the body with its own
/// length, has answered `Expect`, and names the client.
const OF_THE_FRONT: [HeaderName; 4] =
    [CONTENT_LENGTH, EXPECT, FORWARDED, HeaderName::from_static("x-real-ip")];
/// The fields in which proxies describe a client begin with this.
const X_FORWARDED: &str = "x-forwarded-";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The fields of CORS begin with this. The front sets them for both APIs.
const CORS: &str = "access-control-";

/// The fields of a request as an API gets them. `client` is the client's address.
pub(crate) fn of_request(parts: &Parts, client: Option<IpAddr>) -> HeaderMap {
    let mut headers = parts.headers.clone();
    remove_hop_by_hop(&mut headers);
    remove_beginning(&mut headers, X_FORWARDED);
    for name in OF_THE_FRONT {
        headers.remove(name);
    }
    // HTTP/2 names the host in the target. So may HTTP/1.1, and then the target counts.
    let host = parts.uri.authority().map(|host| HeaderValue::from_str(host.as_str()));
    if let Some(Ok(host)) = host {
        headers.insert(HOST, host);
    }
    if let Some(client) = client {
        set(&mut headers, X_FORWARDED_FOR, &client.to_string());
        set(&mut headers, FORWARDED, &element(client));
    }
    if let Some(RequestId(id)) = parts.extensions.get() {
        set(&mut headers, X_REQUEST_ID, id);
    }
    if let Some(TraceParent(trace)) = parts.extensions.get() {
        set(&mut headers, TRACEPARENT, trace);
    }
    let via = if parts.version == Version::HTTP_2 { "2 front" } else { "1.1 front" };
    headers.append(VIA, HeaderValue::from_static(via));
    headers
}

/// The fields of an answer as the client gets them.
pub(crate) fn of_answer(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    remove_beginning(&mut headers, CORS);
    // Only the front knows whether the client came over TLS.
    headers.remove(STRICT_TRANSPORT_SECURITY);
    headers
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // An address, an id and a trace are visible ASCII.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// An element of `Forwarded` (RFC 7239) that names a client.
fn element(client: IpAddr) -> String {
    match client {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let words = lines.flat_map(|line| line.split(','));
    let named: Vec<HeaderName> = words.filter_map(|word| word.trim().parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn remove_beginning(headers: &mut HeaderMap, beginning: &str) {
    let is_one = |name: &&HeaderName| name.as_str().starts_with(beginning);
    let names: Vec<HeaderName> = headers.keys().filter(is_one).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use axum::http::Request;

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn sent(uri: &str, fields: &[(&str, &str)], client: &str) -> HeaderMap {
        let (mut parts, ()) = Request::get(uri).body(()).unwrap().into_parts();
        parts.headers = map(fields);
        parts.extensions.insert(RequestId("id-1".to_owned()));
        of_request(&parts, Some(client.parse().unwrap()))
    }

    #[test]
    fn what_is_for_one_connection_does_not_pass_in_either_direction() {
        let fields = [
            ("connection", "close, X-Mine"),
            ("connection", "te"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("x-mine", "1"),
            ("etag", "\"1\""),
        ];
        assert_eq!(of_answer(map(&fields)), map(&[("etag", "\"1\"")]));
        let left = sent("/a", &fields, "192.0.2.1");
        assert_eq!(left.get("etag").unwrap(), "\"1\"");
        for (name, _) in &fields[..fields.len() - 1] {
            assert!(!left.contains_key(*name), "{name}");
        }
    }

    #[test]
    fn the_front_alone_says_who_the_client_is() {
        let made_up = [
            ("x-forwarded-for", "10.0.0.1"),
            ("X-Forwarded-For", "10.0.0.2"),
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=10.0.0.3"),
            ("x-real-ip", "10.0.0.4"),
            ("host", "shop.example.com"),
            ("x-request-id", "made up"),
        ];
        for (client, forwarded) in
            [("192.0.2.1", "for=192.0.2.1"), ("2001:db8::1", "for=\"[2001:db8::1]\"")]
        {
            let expected = map(&[
                ("host", "shop.example.com"),
                ("x-forwarded-for", client),
                ("forwarded", forwarded),
                ("x-request-id", "id-1"),
                ("via", "1.1 front"),
            ]);
            assert_eq!(sent("/a", &made_up, client), expected);
        }
    }

    #[test]
    fn the_host_in_the_target_counts() {
        let headers = sent("http://shop.example.com/a", &[("host", "other")], "192.0.2.1");
        assert_eq!(headers.get_all(HOST).iter().collect::<Vec<_>>(), ["shop.example.com"]);
    }

    #[test]
    fn the_front_speaks_for_the_apis_to_other_origins_and_of_tls() {
        let answer = map(&[
            ("access-control-allow-origin", "https://app.example"),
            ("strict-transport-security", "max-age=1"),
            ("vary", "origin"),
        ]);
        assert_eq!(of_answer(answer), map(&[("vary", "origin")]));
    }
}
