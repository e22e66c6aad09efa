//! Compares the query API's answers with an imported purchase history (I7).

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use crate::purchase::cents;
use crate::{Client, Customer, Day, Purchases};

/// Compares every customer's count, sum and last date, and every day's orders, units and revenue
/// with the purchases. Nothing may be missing, duplicated or added.
pub async fn check_figures(client: &Client, purchases: &Purchases) -> Result<()> {
    let expected = purchases.customers_by_email();
    let mut shown = BTreeMap::new();
    for user in client.all("/api/v1/users?sort=created_at").await? {
        let email = user["email"].as_str().context("an e-mail address")?.to_owned();
        if email.starts_with("cdnow-") {
            let before = shown.insert(email, customer(&user)?);
            ensure!(before.is_none(), "two users have the address of {user}");
        }
    }
    for (email, customer) in &expected {
        ensure!(
            shown.get(email) == Some(customer),
            "{email}: the file says {customer:?}, the API {:?}",
            shown.get(email)
        );
    }
    ensure!(
        shown.len() == expected.len(),
        "the file has {} customers, the API {}",
        expected.len(),
        shown.len()
    );

    let mut days = BTreeMap::new();
    for day in client.all("/api/v1/sales/daily?currency=USD").await? {
        days.insert(day["day"].as_str().context("a day")?.parse::<NaiveDate>()?, totals(&day)?);
    }
    let expected = purchases.days();
    for (day, totals) in &expected {
        ensure!(
            days.get(day) == Some(totals),
            "{day}: the file says {totals:?}, the API {:?}",
            days.get(day)
        );
    }
    ensure!(
        days.len() == expected.len(),
        "the file has {} days, the API {}",
        expected.len(),
        days.len()
    );
    Ok(())
}

fn customer(user: &Value) -> Result<Customer> {
    let last: DateTime<Utc> = user["last_order_at"]
        .as_str()
        .with_context(|| format!("{user} has no last order"))?
        .parse()?;
    let spent =
        user["total_spent"]["USD"].as_str().with_context(|| format!("{user} has no sum"))?;
    Ok(Customer {
        orders: number(user, "order_count")?,
        cents: cents(spent)?,
        last: last.date_naive(),
    })
}

fn totals(day: &Value) -> Result<Day> {
    let revenue = day["revenue"].as_str().with_context(|| format!("{day} has no revenue"))?;
    Ok(Day { orders: number(day, "orders")?, units: number(day, "units")?, cents: cents(revenue)? })
}

fn number(row: &Value, field: &str) -> Result<i64> {
    row[field].as_i64().with_context(|| format!("{row} has no {field}"))
}
