//! The rows of `customers_at_risk`.

use domain::user::event::{UserDeactivated, UserEvent, UserReactivated};
use serde_json::{Value, json};

use super::fulfilment::{Step, paid, refunded, returns, sale_cancelled, sold, steps};
use super::users::registered;
use super::{Story, USER, confirmed, story};
use crate::support::happening;

/// The row after the registration.
fn first() -> Value {
    json!({"id": USER, "is_active": true, "order_count": 0, "total_spent": {},
        "total_refunded": {}, "sales": 0, "returns": {}, "first_order_at": null,
        "last_order_at": null, "due_at": null, "position": 1})
}

pub(super) fn stories() -> Vec<Story> {
    let left = happening("user", USER, &UserEvent::Deactivated(UserDeactivated { user_id: USER }));
    let back = happening("user", USER, &UserEvent::Reactivated(UserReactivated { user_id: USER }));
    // After a single sale, 90 days are usual.
    let once = json!({"order_count": 1, "total_spent": {"USD": 200}, "sales": 1,
        "first_order_at": "1997-05-05T00:00:00+00:00",
        "last_order_at": "1997-05-05T00:00:00+00:00", "due_at": "1997-08-03T00:00:00+00:00",
        "position": 4});
    let partly =
        json!({"total_refunded": {"USD": 50}, "returns": returns(false, 50), "position": 6});
    // Later sales are due after the mean time between them, also between cancelled ones.
    let twice = json!({"order_count": 2, "total_spent": {"USD": 550}, "sales": 2,
        "last_order_at": "1997-05-15T00:00:00+00:00", "due_at": "1997-05-25T00:00:00+00:00",
        "position": 7});
    let cancelled = json!({"order_count": 1, "total_spent": {"USD": 350},
        "total_refunded": {"USD": 0}, "returns": returns(true, 50), "position": 8});
    // What is refunded of a cancelled sale no longer counts.
    let later_refund = json!({"returns": returns(true, 80), "position": 9});
    // An order that is imported later may be older than all others.
    let imported = json!({"order_count": 2, "total_spent": {"USD": 450}, "sales": 3,
        "first_order_at": "1997-04-25T00:00:00+00:00", "position": 10});
    let changes: Vec<Step> = vec![
        (left, json!({"is_active": false, "position": 2})),
        (back, json!({"is_active": true, "position": 3})),
        (sold(), once),
        (paid(), json!({"position": 5})),
        (refunded(50, 50, false), partly),
        (confirmed(350, 5, "1997-05-15T00:00:00Z"), twice),
        (sale_cancelled(), cancelled),
        (refunded(30, 80, false), later_refund),
        (confirmed(100, 1, "1997-04-25T00:00:00Z"), imported),
    ];
    let at_first = story("customers_at_risk", vec![registered()], first());
    let later = steps("customers_at_risk", &[registered()], first(), changes);
    std::iter::once(at_first).chain(later).collect()
}
