//! The request bodies of the imported commands.

use serde_json::{Value, json};

use super::file::Purchase;

/// The only product. Imported orders contain their own prices, so its current price is not used.
pub(super) fn product() -> Value {
    json!({ "name": "cd", "unit_price": "14.99", "currency": "USD", "stock": 0 })
}

/// A customer's email address.
pub(super) fn email(customer: &str) -> String {
    format!("cdnow-{customer}@example.com")
}

/// The idempotency key of a customer's registration.
pub(super) fn user_key(customer: &str) -> String {
    format!("cdnow/{customer}/register")
}

/// The body that registers a customer.
pub(super) fn user(customer: &str) -> Value {
    json!({ "email": email(customer), "name": format!("CDNOW customer {customer}") })
}

/// The body of an order whose lines cost exactly as much as the purchase.
pub(super) fn order(purchase: &Purchase, user: &str, product: &str) -> anyhow::Result<Value> {
    let lines: Vec<Value> = allocate(purchase.cents, purchase.units)
        .map(|(quantity, cents)| {
            json!({ "product_id": product, "quantity": quantity,
            "unit_price": decimal(cents) })
        })
        .collect();
    let at = purchase
        .date
        .and_hms_opt(0, 0, 0)
        .ok_or_else(|| anyhow::anyhow!("{} has no midnight", purchase.date))?
        .and_utc();
    Ok(json!({ "user_id": user, "ordered_at": at.to_rfc3339(), "currency": "USD", "lines": lines }))
}

/// Splits an amount over `units` without losing a cent. There are at most two prices, one cent
/// apart.
fn allocate(cents: i64, units: i64) -> impl Iterator<Item = (i64, i64)> {
    let (price, dearer) = (cents / units, cents % units);
    [(units - dearer, price), (dearer, price + 1)].into_iter().filter(|(quantity, _)| *quantity > 0)
}

/// Formats 2933 as `29.33`.
pub(super) fn decimal(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::{allocate, decimal};

    #[test]
    fn an_amount_is_allocated_exactly_over_at_most_two_lines() {
        for (cents, units) in
            [(2933, 2), (2973, 2), (0, 3), (6334, 3), (1, 40), (39, 40), (13_498, 2), (1496, 1)]
        {
            let lines: Vec<(i64, i64)> = allocate(cents, units).collect();
            assert!(lines.len() <= 2);
            assert_eq!(lines.iter().map(|(quantity, _)| quantity).sum::<i64>(), units);
            assert_eq!(lines.iter().map(|(quantity, price)| quantity * price).sum::<i64>(), cents);
        }
        assert_eq!(allocate(2933, 2).collect::<Vec<_>>(), [(1, 1466), (1, 1467)]);
    }

    #[test]
    fn money_is_written_as_a_decimal() {
        assert_eq!([0, 5, 2933, 100].map(decimal), ["0.00", "0.05", "29.33", "1.00"]);
    }
}
