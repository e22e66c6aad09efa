//! Order fulfilment with real processes: the process manager, the sandbox and everything else.

pub(crate) mod shop;

use std::collections::BTreeMap;
use std::time::Duration;

use acceptance::{RunningStack, until};
use anyhow::{Context as _, Result, ensure};
use local_servers::test_run;
use serde_json::{Value, json};

use shop::{OrderCount, Shop};

/// How long an order may take to reach its end, with processes that are killed in between.
const ENDED: Duration = Duration::from_mins(3);
const STEPS: [&str; 7] = [
    "accept_order",
    "reserve_stock",
    "authorise_payment",
    "capture_payment",
    "record_payment",
    "ship",
    "record_shipment",
];
const UNDONE: [&str; 3] = ["accept_order", "authorise_payment", "capture_payment"];
/// The country that the sandbox's shipper does not ship to.
const TOO_FAR: &str = "AQ";
const NEAR: &str = "AT";

#[tokio::test]
async fn orders_are_fulfilled_or_undone_and_say_why() -> Result<()> {
    let stack = RunningStack::start().await?;
    let shop = Shop::open(&stack, 20).await?;

    let sent = shop.confirmed(2, NEAR).await?;
    let shown = shop.ended(&sent).await?;
    assert_eq!((&shown["status"], &shown["paid"]), (&json!("shipped"), &shown["total"]));
    let count = shop.count(&sent).await?;
    assert_eq!((count.captured, count.refunded, count.shipped), (1, 0, 1));
    // The process may still be fetching the keys of access tokens.
    let timeline = until("the saga is shown", ENDED, async || {
        Ok(Some(stack.run(&["run", "process-manager", "sagas", "show", &sent]).await?))
    })
    .await?;
    ensure!(timeline.contains("  completed\n"), "{timeline}");
    shop.arrives(&sent).await?;
    shop.becomes(&sent, "delivered").await?;

    let large = shop.confirmed(100, NEAR).await?;
    let shown = shop.ended(&large).await?;
    assert_eq!(shown["cancel_reason"], "out_of_stock");
    assert_eq!(shown["cancel_products"], json!([shop.product]));
    assert_eq!(shop.count(&large).await?, OrderCount::default());

    let far = shop.confirmed(2, TOO_FAR).await?;
    assert_eq!(shop.ended(&far).await?["cancel_reason"], "shipping_rejected");
    shop.is_undone(&far).await?;

    shop.next_faults(&json!([{"fault": "declined", "operation": "authorise"}])).await?;
    let poor = shop.confirmed(2, NEAR).await?;
    assert_eq!(shop.ended(&poor).await?["cancel_reason"], "payment_declined");
    shop.is_undone(&poor).await?;

    // The shipper does not answer, and the customer does not wait.
    shop.next_faults(&json!([{"fault": "hang", "operation": "ship"}])).await?;
    let regretted = shop.confirmed(2, NEAR).await?;
    shop.becomes(&regretted, "paid").await?;
    shop.cancel(&regretted).await?;
    assert_eq!(shop.ended(&regretted).await?["cancel_reason"], "staff");
    shop.is_undone(&regretted).await?;

    shop.is_conserved(2).await?;
    let left = stack.run(&["run", "process-manager", "sagas", "list", "--json"]).await?;
    ensure!(serde_json::from_str::<Vec<Value>>(&left)?.is_empty(), "{left}");
    stack.down().await
}

/// Every point before and after each step and each compensation.
fn points() -> Vec<String> {
    let of = |what: &str, steps: &[&str]| -> Vec<String> {
        let each = steps
            .iter()
            .flat_map(|step| ["before", "after"].map(|when| format!("{when} {what} {step}")));
        each.collect()
    };
    [of("run", &STEPS), of("compensate", &UNDONE)].concat()
}

#[tokio::test]
async fn i11_killed_before_and_after_every_step_every_order_ends_and_nothing_happens_twice()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("points");
    std::fs::write(&file, "")?;
    let stack = RunningStack::start_with(&[("CRASH_POINTS", file.as_path())]).await?;
    let run = test_run();
    for round in 0..run.count(1, 20) {
        let shop = Shop::open(&stack, 1_000).await?;
        std::fs::write(&file, points().join("\n"))?;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        // Each kill takes at most one order's attempt, and two orders may come to a point at once.
        for _ in 0..points().len() {
            near.push(shop.confirmed(1, NEAR).await?);
            far.push(shop.confirmed(1, TOO_FAR).await?);
        }
        for order in &near {
            assert_eq!(shop.ended(order).await?["status"], "shipped", "round {round}");
            let count = shop.count(order).await?;
            assert_eq!((count.captured, count.refunded, count.shipped), (1, 0, 1), "{order}");
        }
        for order in &far {
            assert_eq!(shop.ended(order).await?["cancel_reason"], "shipping_rejected");
            shop.is_undone(order).await?;
        }
        shop.is_conserved(i64::try_from(near.len())?).await?;
        let left = std::fs::read_to_string(&file)?;
        ensure!(left.is_empty(), "the process came to none of these points: {left}");
        ensure!(shop.effects_of_keys().await?.values().all(|count| *count <= 1), "a key twice");
    }
    stack.down().await
}

#[tokio::test]
async fn deleted_work_tables_repeat_no_outward_effect() -> Result<()> {
    let stack = RunningStack::start().await?;
    let shop = Shop::open(&stack, 100).await?;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(shop.confirmed(1, NEAR).await?);
    }
    for order in &orders {
        shop.ended(order).await?;
    }
    let before = shop.counts().await?;
    stack.run(&["stop", "process-manager"]).await?;
    stack
        .run(&[
            "psql",
            "-c",
            "TRUNCATE saga.work, saga.signals, saga.checkpoints, saga.leases, saga.drivers",
        ])
        .await?;
    stack.run(&["start", "process-manager"]).await?;
    // One more order shows that the log was folded up to its end.
    let last = shop.confirmed(1, NEAR).await?;
    shop.ended(&last).await?;
    let after: BTreeMap<String, OrderCount> =
        shop.counts().await?.into_iter().filter(|(order, _)| *order != last).collect();
    assert_eq!(after, before);
    until("nothing is left to do", ENDED, async || {
        let left = stack.run(&["run", "process-manager", "sagas", "list", "--json"]).await?;
        let left: Vec<Value> = serde_json::from_str(&left).context("a list")?;
        Ok(left.is_empty().then_some(()))
    })
    .await?;
    stack.down().await
}
