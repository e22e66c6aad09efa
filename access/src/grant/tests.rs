//! Grants as text, and how they order.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::collection::btree_map;
use proptest::prelude::*;

use super::*;

fn grants() -> impl Strategy<Value = Grants> {
    let permission = prop::sample::select(Permission::ALL);
    let reach = prop_oneof![Just(Reach::Own), Just(Reach::Any)];
    btree_map(permission, reach, 0..=Permission::ALL.len()).prop_map(Grants::from_iter)
}

proptest! {
    #[test]
    fn grants_are_read_back_from_their_text(held in grants()) {
        prop_assert_eq!(held.to_string().parse(), Ok(held));
    }

    #[test]
    fn covering_orders_grants(one in grants(), two in grants()) {
        let (both, either) = (one.and(&two), one.clone().or(&two));
        for held in [&one, &two] {
            prop_assert!(held.cover(&both) && either.cover(held));
            prop_assert!(Grants::all().cover(held) && held.cover(&Grants::default()));
        }
        prop_assert_eq!(&both, &two.and(&one));
        prop_assert_eq!(&either, &two.clone().or(&one));
        let is_same = one.cover(&two) && two.cover(&one);
        prop_assert_eq!(is_same, one == two);
        // A permission is in both exactly if it is in each, and never reaches further.
        for permission in Permission::ALL {
            let least = one.reach(*permission).min(two.reach(*permission));
            prop_assert_eq!(both.reach(*permission), least);
            let most = one.reach(*permission).max(two.reach(*permission));
            prop_assert_eq!(either.reach(*permission), most);
        }
    }
}

#[test]
fn an_unknown_scope_is_named() {
    for (text, unknown) in [
        ("orders:read orders:eat", "orders:eat"),
        ("orders:read.any", "orders:read.any"),
        ("Orders:read", "Orders:read"),
        (".own", ".own"),
        ("orders:read,users:read", "orders:read,users:read"),
        ("orders:read\tusers:read", "orders:read\tusers:read"),
    ] {
        assert_eq!(text.parse::<Grants>(), Err(InvalidGrant(unknown.to_owned())), "{text}");
    }
    assert!("".parse::<Grants>().unwrap().is_empty());
}

#[test]
fn a_scope_given_twice_reaches_as_far_as_the_further_one() {
    let twice: Grants = "orders:read.own orders:read".parse().unwrap();
    assert_eq!(twice, "orders:read orders:read.own".parse().unwrap());
    assert_eq!(twice.reach(Permission::OrdersRead), Some(Reach::Any));
}

#[test]
fn who_reaches_their_own_does_not_cover_a_grant_that_reaches_all() {
    let grants = |text: &str| text.parse::<Grants>().unwrap();
    for (held, given, covers) in [
        ("orders:read.own", "orders:read", false),
        ("orders:read", "orders:read.own", true),
        ("orders:read.own", "orders:read.own", true),
        ("orders:read users:read.own", "orders:read users:read", false),
        ("orders:read", "users:read.own", false),
        ("", "orders:read.own", false),
    ] {
        assert_eq!(grants(held).cover(&grants(given)), covers, "{held} {given}");
    }
}

#[test]
fn the_texts_of_permissions_are_scopes_and_differ() {
    let texts: std::collections::BTreeSet<&str> =
        Permission::ALL.iter().map(|permission| permission.as_str()).collect();
    assert_eq!(texts.len(), Permission::ALL.len());
    for text in texts {
        let (noun, verb) = text.split_once(':').unwrap();
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        assert!(is_word(noun) && is_word(verb), "{text}");
    }
}

#[test]
fn the_places_of_permissions_are_in_their_order() {
    for (place, permission) in Permission::ALL.iter().enumerate() {
        assert_eq!(*permission as usize, place, "{permission}");
    }
}
