//! Who may what.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::role::Role;

const ADA: Uuid = Uuid::from_u128(1);
const BOB: Uuid = Uuid::from_u128(2);

fn person(id: Uuid, grants: &str) -> Caller {
    let grants = grants.parse().unwrap();
    Caller { principal: Principal::User { id }, grants, credential: None, client: None }
}

#[test]
fn a_caller_reaches_what_is_theirs_and_nothing_else_exists() {
    let (policy, read) = (Policy::default(), Permission::OrdersRead);
    let ada = person(ADA, "orders:read.own");
    assert_eq!(policy.decide(&ada, read, Owner::User(ADA)), Decision::Allowed);
    assert_eq!(policy.decide(&ada, read, Owner::User(BOB)), Decision::Hidden);
    assert_eq!(policy.decide(&ada, read, Owner::Nobody), Decision::Hidden);
    assert_eq!(policy.scope(&ada, read), Ok(Scope::Of(ADA)));
    let support = person(BOB, "orders:read");
    assert_eq!(policy.decide(&support, read, Owner::User(ADA)), Decision::Allowed);
    assert_eq!(policy.scope(&support, read), Ok(Scope::All));
}

#[test]
fn without_a_permission_one_signs_in_or_is_refused() {
    let (policy, write) = (Policy::default(), Permission::ProductsWrite);
    for owner in [Owner::Nobody, Owner::User(ADA)] {
        assert_eq!(policy.decide(&Caller::anonymous(), write, owner), Decision::SignIn);
        let ada = person(ADA, "products:read users:write.own");
        assert_eq!(policy.decide(&ada, write, owner), Decision::Forbidden(write));
    }
    let system = Caller::system(Principal::system("importer").unwrap());
    assert_eq!(policy.decide(&system, write, Owner::Nobody), Decision::Allowed);
}

#[test]
fn what_is_public_needs_no_sign_in() {
    let read = Permission::ProductsRead;
    let (anybody, ada) = (Caller::anonymous(), person(ADA, ""));
    for caller in [&anybody, &ada] {
        assert_eq!(Policy::default().decide(caller, read, Owner::Nobody), Decision::Allowed);
    }
    let closed = Policy::with_public(Grants::default());
    assert_eq!(closed.decide(&anybody, read, Owner::Nobody), Decision::SignIn);
    assert_eq!(closed.decide(&ada, read, Owner::Nobody), Decision::Forbidden(read));
    // A part of the system owns nothing.
    let principal = Principal::system("importer").unwrap();
    let grants = "orders:read.own".parse().unwrap();
    let system = Caller { principal, grants, credential: None, client: None };
    let orders = Permission::OrdersRead;
    assert_eq!(Policy::default().scope(&system, orders), Err(Decision::Forbidden(orders)));
    // Nobody owns anything without signing in.
    let own = Policy::with_public("orders:read.own".parse().unwrap());
    assert_eq!(own.scope(&anybody, Permission::OrdersRead), Err(Decision::SignIn));
}

#[test]
fn every_permission_of_every_role_is_decided_by_its_reach_alone() {
    for role in Role::seed() {
        let caller = person(ADA, &role.grants.to_string());
        for permission in Permission::ALL {
            let found = [Owner::User(ADA), Owner::User(BOB), Owner::Nobody]
                .map(|owner| Policy::default().decide(&caller, *permission, owner));
            let (allowed, hidden) = (Decision::Allowed, Decision::Hidden);
            let expected = match role.grants.reach(*permission) {
                Some(Reach::Any) => [allowed; 3],
                Some(Reach::Own) => [allowed, hidden, hidden],
                None => [Decision::Forbidden(*permission); 3],
            };
            assert_eq!(found, expected, "{} {permission}", role.name);
        }
    }
}
