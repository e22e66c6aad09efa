//! Entity tags: strong ones of rows (`"<version>.<position>"`), weak ones of lists (a digest of what they show), and
//! whether the caller has what we would send.

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

/// The tag of one row.
pub(super) fn of_row(version: i64, position: i64) -> String {
    format!("\"{version}.{position}\"")
}

/// The tag of a list: equal as long as it shows the same.
pub(super) fn of_content(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    format!("W/\"{}\"", uuid::Uuid::from_bytes(half).simple())
}

/// Whether `If-None-Match` names this tag (compared weakly, as the header wants).
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = bare(tag);
    let given = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || bare(tag) == ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_any_place_of_the_list_weak_or_strong() {
        for (header, known) in [
            ("\"3.17\"", true),
            ("W/\"3.17\"", true),
            ("\"1.1\", \"3.17\"", true),
            ("*", true),
            ("\"3.18\"", false),
            ("3.17", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(header))]);
            assert_eq!(is_known(&headers, &of_row(3, 17)), known, "{header}");
        }
    }
}
