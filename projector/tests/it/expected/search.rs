//! The rows of `search`.

use domain::order::event::{OrderEvent, OrderLineRemoved};
use domain::product::event::{ProductEvent, ProductRenamed};
use domain::user::event::{UserEmailChanged, UserEvent, UserRenamed};
use domain::value::{Email, ProductName};
use serde_json::{Value, json};

use super::fulfilment::{Step, steps};
use super::users::{mine, name, profile_changed, registered};
use super::{
    FIRST, ORDER, PRODUCT, Story, USER, added, line_added, money, order, placed, product, story,
    with,
};
use crate::support::happening;

fn of_users() -> Vec<Story> {
    let first = json!({"kind": "user", "id": USER, "owner_id": USER, "name": "Ada",
        "display_name": null, "email": "ada@example.com", "products": {},
        "words": "Ada ada@example.com", "position": 1});
    let renamed = UserRenamed { user_id: USER, name: name("Grace") };
    let email = mine(Email::parse("grace@example.com").unwrap());
    let moved = UserEmailChanged { user_id: USER, email };
    let changes: Vec<Step> = vec![
        (
            profile_changed(),
            json!({"display_name": "Countess", "words": "Ada Countess ada@example.com",
                "position": 2}),
        ),
        (
            happening("user", USER, &UserEvent::Renamed(renamed)),
            json!({"name": "Grace", "words": "Grace Countess ada@example.com", "position": 3}),
        ),
        (
            happening("user", USER, &UserEvent::EmailChanged(moved)),
            json!({"email": "grace@example.com", "words": "Grace Countess grace@example.com",
                "position": 4}),
        ),
    ];
    let blanked = json!({"name": null, "email": null, "words": null, "position": 3});
    let erased = Story {
        erased: true,
        ..story("search", vec![registered(), profile_changed()], with(&first, blanked))
    };
    let begun = story("search", vec![registered()], first.clone());
    [vec![begun], steps("search", &[registered()], first, changes), vec![erased]].concat()
}

fn of_products() -> Vec<Story> {
    let first = json!({"kind": "product", "id": PRODUCT, "owner_id": null, "name": "cd",
        "display_name": null, "email": null, "products": {}, "words": "cd", "position": 1});
    let name = ProductName::parse("Café Crème").unwrap();
    let renamed = product(ProductEvent::Renamed(ProductRenamed { product_id: PRODUCT, name }));
    let changed = json!({"name": "Café Crème", "words": "Café Crème", "position": 2});
    let begun = story("search", vec![added()], first.clone());
    [vec![begun], steps("search", &[added()], first, vec![(renamed, changed)])].concat()
}

fn of_orders() -> Vec<Story> {
    let names = |lines: &[uuid::Uuid]| {
        Value::Object(lines.iter().map(|line| (line.to_string(), json!("cd"))).collect())
    };
    // Each name is a word once.
    let first = json!({"kind": "order", "id": ORDER, "owner_id": USER, "name": null,
        "display_name": null, "email": null, "products": names(&[FIRST]), "words": "cd",
        "position": 1});
    let removed = |line_id| {
        let (order_id, total) = (ORDER, money(0, "USD"));
        order(OrderEvent::LineRemoved(OrderLineRemoved { order_id, line_id, total }))
    };
    let changes: Vec<Step> = vec![
        (line_added(), json!({"products": names(&[FIRST, super::SECOND]), "position": 2})),
        (removed(FIRST), json!({"products": names(&[super::SECOND]), "position": 3})),
        (removed(super::SECOND), json!({"products": {}, "words": null, "position": 4})),
    ];
    let begun = story("search", vec![placed()], first.clone());
    [vec![begun], steps("search", &[placed()], first, changes)].concat()
}

pub(super) fn stories() -> Vec<Story> {
    [of_users(), of_products(), of_orders()].concat()
}
