//! Reads `If-Match` and `If-None-Match` on commands. Only the version in a tag counts.

use service_kit::conditional::{EntityTag, Preconditions, Tags, version_of};

use crate::application::precondition::{Precondition, Versions};

/// Reads the conditions of a request (RFC 9110 §13.1).
///
/// `If-Match` compares strongly, so a weak tag matches nothing. `If-None-Match` compares weakly.
pub(super) fn precondition(preconditions: &Preconditions) -> Precondition {
    let versions = |tags: &Tags, counts: fn(&EntityTag) -> bool| match tags {
        Tags::Any => Versions::Any,
        Tags::OneOf(tags) => {
            Versions::These(tags.iter().filter(|tag| counts(tag)).filter_map(version_of).collect())
        }
    };
    let Preconditions { if_match, if_none_match } = preconditions;
    Precondition {
        one_of: if_match.as_ref().map(|tags| versions(tags, |tag| !tag.is_weak())),
        none_of: if_none_match.as_ref().map(|tags| versions(tags, |_| true)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use axum::http::HeaderMap;

    use super::*;
    use crate::application::precondition::Unmet;

    fn of(name: &'static str, value: &str) -> Precondition {
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        precondition(&Preconditions::of(&headers).unwrap())
    }

    #[test]
    fn the_version_alone_counts_whichever_api_made_the_tag() {
        for text in ["\"3\"", "\"3.118.2.v1\"", "\"3.9.1.v1.stale\"", "\"2\", \"3\""] {
            let precondition = of("if-match", text);
            assert_eq!(
                (precondition.check(3), precondition.check(4)),
                (Ok(()), Err(Unmet::OtherVersion)),
                "{text}"
            );
            assert!(precondition.is_named() && !precondition.holds_for_nothing());
            let precondition = of("if-none-match", text);
            assert_eq!(
                (precondition.check(3), precondition.check(4)),
                (Err(Unmet::NotWanted), Ok(())),
                "{text}"
            );
            assert!(!precondition.is_named() && precondition.holds_for_nothing());
        }
    }

    #[test]
    fn a_star_is_whatever_exists() {
        let (there, absent) = (of("if-match", "*"), of("if-none-match", "*"));
        assert_eq!(
            (there.check(3), there.holds_for_nothing(), there.is_named()),
            (Ok(()), false, false)
        );
        assert_eq!((absent.check(3), absent.holds_for_nothing()), (Err(Unmet::NotWanted), true));
    }

    #[test]
    fn a_foreign_tag_matches_nothing_and_a_weak_one_only_where_tags_are_compared_weakly() {
        for text in ["\"three\"", "\"\"", "\"3.x\"", "\"-3\""] {
            assert_eq!(of("if-match", text).check(3), Err(Unmet::OtherVersion), "{text}");
            assert_eq!(of("if-none-match", text).check(3), Ok(()), "{text}");
        }
        assert_eq!(of("if-match", "W/\"3\"").check(3), Err(Unmet::OtherVersion));
        assert_eq!(of("if-none-match", "W/\"3\"").check(3), Err(Unmet::NotWanted));
    }
}
