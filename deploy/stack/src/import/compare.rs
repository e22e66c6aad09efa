//! Compares the query API's answers with the file, per customer and in total, to the cent.

use std::collections::{BTreeMap, HashSet};

use anyhow::Context;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::client::Client;
use super::file::History;
use super::plan::{decimal, email};

const CURRENCY: &str = "USD";
const PAGE_SIZE: &str = "100";
/// An upper bound that no file reaches: a cursor that never ends is an error.
const MAX_PAGES: usize = 100_000;

/// Totals over all customers of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The number of customers.
    pub customers: usize,
    /// The number of confirmed orders.
    pub orders: i64,
    /// The number of CDs.
    pub units: i64,
    /// The amount spent, as a decimal number.
    pub spent: String,
}

impl Totals {
    /// Computes the totals of a file.
    pub fn of_history(history: &History) -> Totals {
        Totals {
            customers: history.customers.len(),
            orders: history.purchases().map(|_| 1).sum(),
            units: history.purchases().map(|purchase| purchase.units).sum(),
            spent: decimal(history.purchases().map(|purchase| purchase.cents).sum()),
        }
    }

    /// The rows of a table that shows two totals.
    pub fn rows(one: &Totals, other: &Totals) -> [(String, String, String); 4] {
        let row = |name: &str, of: fn(&Totals) -> String| (name.to_owned(), of(one), of(other));
        [
            row("customers", |totals| totals.customers.to_string()),
            row("orders", |totals| totals.orders.to_string()),
            row("CDs", |totals| totals.units.to_string()),
            row("USD", |totals| totals.spent.clone()),
        ]
    }
}

/// One difference between the file and the query API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The customer's email address, or `total`.
    pub of: String,
    /// The name of the differing value.
    pub figure: &'static str,
    /// The value in the file.
    pub expected: String,
    /// The value from the query API.
    pub found: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is {}, expected {}", self.of, self.figure, self.found, self.expected)
    }
}

#[derive(Debug, Deserialize)]
struct User {
    id: Uuid,
    email: Option<String>,
    order_count: i64,
    total_spent: BTreeMap<String, String>,
    last_order_at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Debug, Deserialize)]
struct Order {
    user_id: Uuid,
    currency: String,
    units: i64,
    total: String,
    ordered_at: chrono::DateTime<chrono::Utc>,
}

#[derive(Debug, Deserialize)]
struct Day {
    units: i64,
    orders: i64,
    revenue: String,
}

/// Fetches all customers, their orders and all days of the file, and compares them.
pub(super) async fn compare(
    client: &Client,
    history: &History,
) -> anyhow::Result<(Totals, Vec<Difference>)> {
    let users: Vec<User> = list(client, "/api/v1/users", &[]).await?;
    let by_email: BTreeMap<String, User> =
        users.into_iter().filter_map(|user| Some((user.email.clone()?, user))).collect();
    let mut differences = Differences::default();
    let mut found = Totals::default();
    let (mut spent, mut ids) = (0, HashSet::new());
    for (customer, purchases) in &history.customers {
        let address = email(customer);
        let Some(user) = by_email.get(&address) else {
            differences.note(&address, "customer", "there", "absent");
            continue;
        };
        let cents = purchases.iter().map(|purchase| purchase.cents).sum();
        let total = user.total_spent.get(CURRENCY).map_or("0.00", String::as_str);
        differences.check(&address, "order_count", &purchases.len(), &user.order_count);
        differences.check(&address, "total_spent", &decimal(cents), &total);
        let last = purchases.iter().map(|purchase| purchase.date).max().unwrap_or_default();
        let at = user.last_order_at.map_or_else(|| "none".to_owned(), |at| at.to_rfc3339());
        differences.check(&address, "last_order_at", &format!("{last}T00:00:00+00:00"), &at);
        found.customers += 1;
        ids.insert(user.id);
        found.orders += user.order_count;
        spent += cents_of(total)?;
    }
    found.spent = decimal(spent);
    let orders = orders(client, history).await?;
    found.units =
        orders.iter().filter(|order| ids.contains(&order.user_id)).map(|order| order.units).sum();
    let expected = Totals::of_history(history);
    for ((name, expected, found), figure) in
        Totals::rows(&expected, &found).into_iter().zip(["customers", "orders", "units", "spent"])
    {
        differences.check(&format!("total {name}"), figure, &expected, &found);
    }
    check_days(&orders, &days(client, history).await?, &mut differences)?;
    Ok((found, differences.0))
}

/// Checks the daily sales, which are another projection. Its totals must equal those of the same
/// days' orders, including other customers' orders.
fn check_days(orders: &[Order], days: &[Day], differences: &mut Differences) -> anyhow::Result<()> {
    let of = "total of the days";
    let spent: i64 =
        orders.iter().map(|order| cents_of(&order.total)).sum::<anyhow::Result<i64>>()?;
    let revenue: i64 =
        days.iter().map(|day| cents_of(&day.revenue)).sum::<anyhow::Result<i64>>()?;
    differences.check(of, "orders", &orders.len(), &days.iter().map(|day| day.orders).sum::<i64>());
    differences.check(of, "units", &sum(orders, |order| order.units), &sum(days, |day| day.units));
    differences.check(of, "revenue", &decimal(spent), &decimal(revenue));
    Ok(())
}

fn sum<T>(items: &[T], of: fn(&T) -> i64) -> i64 {
    items.iter().map(of).sum()
}

/// Fetches every confirmed order of the file's days, from any customer.
async fn orders(client: &Client, history: &History) -> anyhow::Result<Vec<Order>> {
    let (first, last) = span(history);
    let mut orders: Vec<Order> =
        list(client, "/api/v1/orders", &[("status", "confirmed"), ("sort", "created_at")]).await?;
    orders.retain(|order| {
        order.currency == CURRENCY && (first..=last).contains(&order.ordered_at.date_naive())
    });
    Ok(orders)
}

async fn days(client: &Client, history: &History) -> anyhow::Result<Vec<Day>> {
    let (first, last) = span(history);
    let (from, to) = (first.to_string(), last.to_string());
    list(client, "/api/v1/sales/daily", &[("from", &from), ("to", &to), ("currency", CURRENCY)])
        .await
}

/// The first and last day of the file.
fn span(history: &History) -> (NaiveDate, NaiveDate) {
    let dates: Vec<_> = history.purchases().map(|purchase| purchase.date).collect();
    (
        dates.iter().min().copied().unwrap_or_default(),
        dates.iter().max().copied().unwrap_or_default(),
    )
}

/// Fetches all items of a list, page by page.
async fn list<T: for<'de> Deserialize<'de>>(
    client: &Client,
    path: &str,
    filter: &[(&str, &str)],
) -> anyhow::Result<Vec<T>> {
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut query = filter.to_vec();
        query.push(("page_size", PAGE_SIZE));
        if let Some(cursor) = &cursor {
            query.push(("cursor", cursor));
        }
        let answer = client.get(path, &query).await?;
        let data = answer.get("data").cloned().unwrap_or(Value::Null);
        let page: Vec<T> = serde_json::from_value(data)
            .with_context(|| format!("GET {path}: unexpected data format"))?;
        items.extend(page);
        cursor =
            answer.pointer("/meta/page/next_cursor").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() {
            return Ok(items);
        }
    }
    anyhow::bail!("GET {path}: more than {MAX_PAGES} pages")
}

fn cents_of(text: &str) -> anyhow::Result<i64> {
    let cents = text
        .split_once('.')
        .filter(|(_, cents)| cents.len() == 2)
        .map(|(dollars, cents)| format!("{dollars}{cents}"));
    cents
        .and_then(|cents| cents.parse().ok())
        .with_context(|| format!("{text:?} is not dollars and cents"))
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn check(
        &mut self,
        of: &str,
        figure: &'static str,
        expected: &impl ToString,
        found: &impl ToString,
    ) {
        let (expected, found) = (expected.to_string(), found.to_string());
        if expected != found {
            self.note(of, figure, &expected, &found);
        }
    }

    fn note(&mut self, of: &str, figure: &'static str, expected: &str, found: &str) {
        self.0.push(Difference {
            of: of.to_owned(),
            figure,
            expected: expected.to_owned(),
            found: found.to_owned(),
        });
    }
}
