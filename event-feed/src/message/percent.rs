//! Percent-encodes header values, as CloudEvents' protocol bindings require: everything that is not
//! printable ASCII, and blank, `"` and `%`.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The ASCII characters to encode. All other characters are always encoded.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Encodes a text as printable ASCII without blanks.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Decodes a text, or returns `None` if a `%` is not followed by two hexadecimal digits, which the
/// library would take as it is, or if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let is_escape = |rest: &str| {
        rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_becomes_printable_ascii_and_itself_again(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }

    #[test]
    fn a_percent_sign_needs_two_hexadecimal_digits() {
        assert_eq!(encode("a b%\"é\u{7f}"), "a%20b%25%22%C3%A9%7F");
        assert_eq!(decode("a%2fb").as_deref(), Some("a/b"));
        for text in ["%", "%2", "%+F", "%-1", "% 1", "%é", "%%20", "a%2G", "%FF"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
