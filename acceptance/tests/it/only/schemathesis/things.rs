//! Purchases for the requests to find, and dictionaries of their ids for the tool. A random id
//! names nothing: its request gets 404 before anything else is checked.

use std::fs;
use std::time::Duration;

use acceptance::RunningStack;
use anyhow::{Context, Result};
use local_servers::test_run;
use serde_json::json;

use super::text;
use crate::sample;

/// The number of customers whose purchases are there.
const CUSTOMERS: usize = 20;
/// The lists whose ids are in dictionaries of these names.
const LISTS: [&str; 3] = ["users", "orders", "products"];
const CATCH_UP_LIMIT: Duration = Duration::from_mins(1);

/// Makes the things and the dictionaries.
pub(super) async fn make(stack: &RunningStack) -> Result<()> {
    let file = stack.directory().join("purchases.txt");
    sample()?.of_customers(CUSTOMERS, test_run().seed).write(&file)?;
    stack.run(&["import", "cdnow", text(&file)?]).await?;
    let client = stack.client()?;
    let product = json!({"name": "cd", "unit_price": "14.67", "currency": "USD", "stock": 12});
    let added = client.post("/api/v1/products", &product).await?;
    write(stack, "tokens", [added.header("consistency-token")?])?;
    stack.log()?.wait_until_caught_up(CATCH_UP_LIMIT).await?;
    for list in LISTS {
        let rows = client.all(&format!("/api/v1/{list}")).await?;
        let ids = rows.iter().map(|row| row["id"].as_str().context("an id"));
        write(stack, list, ids.collect::<Result<Vec<_>>>()?)?;
    }
    Ok(())
}

/// Writes a dictionary: a line in double quotes for each value.
fn write<'a>(
    stack: &RunningStack,
    name: &str,
    values: impl IntoIterator<Item = &'a str>,
) -> Result<()> {
    let lines = values.into_iter().map(|value| format!("\"{value}\"\n"));
    fs::write(stack.directory().join(format!("{name}.dict")), lines.collect::<String>())?;
    Ok(())
}
