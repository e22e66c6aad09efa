//! The category of an aggregate, derived from its event types at compile time.

use crate::history::Shape;

/// The category that all these types share.
///
/// A wrong type fails to compile, because categories and types are permanent once an event is
/// stored.
#[doc(hidden)]
#[must_use]
pub const fn category_of(known: &[Shape]) -> &'static str {
    let [(first, _), ..] = known else { panic!("an aggregate has events") };
    let (category, _) = split_type(first);
    let mut rest = known;
    while let [(event_type, version), others @ ..] = rest {
        assert!(*version >= 1, "versions of a payload's shape count from 1");
        assert!(
            is_same(split_type(event_type).0, category),
            "all events of an aggregate are of one category: what precedes the dot in their types"
        );
        rest = others;
    }
    category
}

/// Splits a type into its category and its verb, at the dot.
const fn split_type(event_type: &'static str) -> (&'static str, &'static str) {
    let (bytes, mut dot) = (event_type.as_bytes(), 0);
    while dot < bytes.len() && bytes[dot] != b'.' {
        dot += 1;
    }
    assert!(dot < bytes.len(), "a type is a category, a dot and what happened: `order.placed`");
    let (category, what) = event_type.split_at(dot);
    let (_, what) = what.split_at(1);
    assert!(
        is_name(category.as_bytes()) && is_name(what.as_bytes()),
        "both parts of a type match [a-z][a-z0-9_]* and have at most 64 bytes: no hyphen, no \
         capital"
    );
    (category, what)
}

/// Whether the text is a valid name. The rule is the same as in `event_store::stream::is_category`.
const fn is_name(mut text: &[u8]) -> bool {
    if !matches!(text, [b'a'..=b'z', ..]) || text.len() > 64 {
        return false;
    }
    while let [byte, rest @ ..] = text {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_') {
            return false;
        }
        text = rest;
    }
    true
}

const fn is_same(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let ([x, rest_of_a @ ..], [y, rest_of_b @ ..]) = (a, b) {
        if *x != *y {
            return false;
        }
        (a, b) = (rest_of_a, rest_of_b);
    }
    a.is_empty() && b.is_empty()
}

#[cfg(test)]
mod tests {
    use super::category_of;

    #[test]
    fn a_category_is_what_precedes_the_dot_in_every_type() {
        assert_eq!(category_of(&[("order.placed", 1), ("order.line_added", 2)]), "order");
    }

    #[test]
    fn types_that_the_log_would_keep_under_a_wrong_name_do_not_compile() {
        let wrong: [&'static [(&'static str, i32)]; 9] = [
            &[],
            &[("placed", 1)],
            &[("gift-card.issued", 1)],
            &[("giftCard.issued", 1)],
            &[("gift_card.is.sued", 1)],
            &[(".issued", 1)],
            &[("gift_card.", 1)],
            &[("gift_card.issued", 0)],
            &[("gift_card.issued", 1), ("giftcard.used", 1)],
        ];
        for known in wrong {
            assert!(std::panic::catch_unwind(|| category_of(known)).is_err(), "{known:?}");
        }
    }
}
