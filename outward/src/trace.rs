//! W3C trace context: each attempt is a span of its caller's trace.

use reqwest::header::{HeaderName, HeaderValue};

/// The header that carries the trace context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A span below `parent`, if that is a well-formed `traceparent` of version 00.
pub(crate) fn child(parent: &str) -> Option<HeaderValue> {
    let parts: Vec<&str> = parent.split('-').collect();
    let [version, trace, span, flags] = parts[..] else { return None };
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_known = version == "00" && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    if !is_known || trace.bytes().all(|byte| byte == b'0') {
        return None;
    }
    let span = rand::random_range(1..=u64::MAX);
    HeaderValue::from_str(&format!("00-{trace}-{span:016x}-{flags}")).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    #[test]
    fn a_span_goes_on_with_the_trace_of_its_caller() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let child = super::child(parent).unwrap();
        let child = child.to_str().unwrap();
        assert_eq!((&child[..36], &child[52..]), (&parent[..36], "-01"));
        assert_ne!(child, parent);
        for text in ["", "00-0-1-01", &parent.replace("00-", "ff-"), &parent.replace('f', "g")] {
            assert_eq!(super::child(text), None, "{text}");
        }
    }
}
